use std::hint::black_box;

use callbox::prelude::*;

/// What goes wrong here goes wrong on purpose: the caller hears music, and keeps hearing it, while
/// the sandbox stops this module and gives the call to the next handler.
#[callbox::handler]
fn handle(call: Call) -> Result {
    call.answer()?;
    call.say("Please hold the line.")?;
    call.checkpoint("music")?;
    call.play()
        .tone(440, Duration::from_millis(400))
        .tone(554, Duration::from_millis(400))
        .tone(659, Duration::from_millis(400))
        .forever()
        .start()?;
    call.next_within(Duration::from_secs(2));
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
