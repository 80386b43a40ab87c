use callbox::ReferRequest;
use callbox::prelude::*;

/// Connects the caller with the setting `target`, and carries out the transfers that the phones ask
/// for: whoever asks leaves, and the one who stays talks with somebody else.
#[callbox::handler]
fn handle(call: Call) -> Result {
    let target = config::get("target").ok_or("the setting `target` is missing")?;
    call.ring()?;
    let other = call.dial([target]).start()?;
    if let Answer::Refused(_) = other.wait_for_answer()? {
        call.answer()?;
        call.say("Nobody answers. Please call again later.")?;
        return call.hangup();
    }
    call.answer()?;
    let mut talking = [call.leg(1), other];
    talking[0].bridge(talking[1])?;
    for event in call.events() {
        if let Event::Refer(asked) = &event {
            match transfer(&call, talking, asked) {
                Ok(pair) => talking = pair,
                // The two go on as they were.
                Err(error) => log::warn(format!("leg {} stays: {error:?}", asked.leg)),
            }
        }
        if talking.iter().any(|leg| matches!(leg.state_in(&event), Some(LegState::Ended(_)))) {
            return call.hangup();
        }
    }
    Ok(())
}

/// The two who talk afterwards.
fn transfer<'a>(call: &'a Call, talking: [Leg<'a>; 2], asked: &ReferRequest) -> Result<[Leg<'a>; 2]> {
    let [leaves, stays] = match talking {
        [one, other] if one.id() == asked.leg => [one, other],
        [one, other] => [other, one],
    };
    leaves.answer_refer(202)?;
    let third = call.dial([&asked.to]).start()?;
    if let Answer::Refused(cause) = third.wait_for_answer()? {
        return Err(Error::Ended(cause));
    }
    stays.bridge(third)?;
    // It may have hung up by itself: it has what it wanted.
    drop(leaves.hangup());
    Ok([stays, third])
}
