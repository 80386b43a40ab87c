use callbox::prelude::*;

#[callbox::handler]
fn handle(call: Call) -> Result {
    call.answer()?;
    call.say("Hello. You are talking to a module in a sandbox.")?;
    call.hangup()
}
