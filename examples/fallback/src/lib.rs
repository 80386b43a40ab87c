use callbox::prelude::*;

#[callbox::handler]
fn handle(call: Call) -> Result {
    if let Some(lost) = call.predecessor() {
        log::warn(format!("{} lost the call: {}", lost.module, lost.fault.code));
    }
    // Does nothing where the one before has answered already. What it played goes on until the
    // first sound from here.
    call.answer()?;
    call.say("One moment please, something went wrong. You are being helped by the fallback.")?;
    call.play().chord(440, 480, Duration::from_secs(1)).silence(Duration::from_millis(500)).wait()?;
    call.say("Please call again later.")?;
    call.hangup()
}
