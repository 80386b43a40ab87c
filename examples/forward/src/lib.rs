use callbox::prelude::*;

/// Rings at the setting `target`. Whoever answers there talks with the caller; when nobody does, the
/// caller hears why.
#[callbox::handler]
fn handle(call: Call) -> Result {
    let target = config::get("target").ok_or("the setting `target` is missing")?;
    call.ring()?;
    let why = match call.dial([target]).timeout(Duration::from_secs(20)).connect() {
        Ok(Talk::Over(_)) => return call.hangup(),
        Ok(Talk::Refused(cause)) if cause.status == 486 || cause.status == 600 => "The line is busy.",
        Ok(Talk::Refused(_)) | Err(Error::Unavailable(_)) => "Nobody answers.",
        Err(error) => return Err(error),
    };
    call.answer()?;
    call.say(format!("{why} Please call again later."))?;
    call.hangup()
}
