use callbox::prelude::*;

#[callbox::handler]
fn handle(call: Call) -> Result {
    call.answer()?;
    loop {
        let choice = call.gather().say("Press a digit, or nine to leave.").max(1).digits()?;
        match choice.as_str() {
            "" | "9" => break,
            digit => call.say(format!("You pressed {digit}."))?,
        };
    }
    call.say("Goodbye.")?;
    call.hangup()
}
