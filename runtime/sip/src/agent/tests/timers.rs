//! Session timers (RFC 4028).

use std::time::Duration;

use crate::agent::{Settings, Transport};

use super::net::{CALLEE, CALLER, Net, Weather};
use super::phone::{alone, answer, inside, request, session, tag_of};

fn up() -> Net {
    let mut net = Net::calm();
    net.dial();
    net.pass_ms(10);
    net.answer();
    net.pass_ms(10);
    net
}

#[test]
fn two_of_us_agree_and_a_call_of_a_day_is_refreshed_all_day() {
    let mut net = up();
    assert!(net.text(CALLER, "INVITE").contains("Session-Expires: 1800\r\n"));
    let text = net.text(CALLEE, "SIP/2.0 200");
    assert!(text.contains("Session-Expires: 1800;refresher=uas\r\n") && text.contains("Require: timer\r\n"), "{text}");
    net.pass(Duration::from_secs(24 * 3_600));
    let refreshes = net.sent(CALLEE, "UPDATE");
    assert!((90..=97).contains(&refreshes), "every quarter of an hour: {refreshes}");
    assert_eq!((net.sent(CALLER, "UPDATE"), net.sent(CALLEE, "INVITE")), (0, 0));
    let text = net.text(CALLEE, "UPDATE");
    assert!(text.contains("Session-Expires: 1800;refresher=uac\r\n"), "{text}");
    assert!(!net.has_ended(CALLER) && !net.has_ended(CALLEE));
    net.hang_up(CALLER);
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn a_far_end_that_vanishes_is_noticed_by_both() {
    let mut net = up();
    net.weather.loss = 100;
    net.pass(Duration::from_secs(1_800 - 33));
    assert!(net.has_ended(CALLEE), "its refresh had no answer");
    assert!(!net.has_ended(CALLER));
    net.pass_ms(2_000);
    assert_eq!(net.sent(CALLER, "BYE"), 2, "32 s before the end");
    net.pass_ms(100_000);
    assert!(net.has_ended(CALLER));
    assert!(net.is_empty());
}

#[test]
fn what_asks_for_too_short_a_session_is_told_the_least_and_asks_again() {
    let settings = Settings { min_session: Duration::from_secs(3_600), ..Settings::default() };
    let mut net = Net::with(settings, Transport::Udp, Weather::default(), 1);
    // The caller asks for as much as it would have others ask for.
    net.dial();
    assert!(net.text(CALLER, "INVITE").contains("Session-Expires: 3600\r\nMin-SE: 3600\r\n"));
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, "Supported: timer\nSession-Expires: 90\n\n"));
    assert!(net.text(CALLEE, "SIP/2.0 422").contains("Min-SE: 3600\r\n"));
    // One that cannot read a 422 is not sent one.
    net.deliver_text(CALLEE, &request("INVITE", "2", "", 2, "x: 90\n\n"));
    net.answer();
    assert!(net.text(CALLEE, "SIP/2.0 200").contains("Session-Expires: 3600;refresher=uas\r\n"));
    assert!(!net.text(CALLEE, "SIP/2.0 200").contains("Require: timer"));
}

#[test]
fn our_call_is_placed_again_with_the_least_that_the_far_end_wants() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    answer(&mut net, &invite, 422, "t", &[("Min-SE", "4000")], "");
    let again = net.last(CALLER, "INVITE");
    let text = format!("{again:?}");
    assert!(text.contains("Session-Expires: 4000\r\n") && text.contains("Min-SE: 4000\r\n"), "{text}");
    assert!(text.contains("CSeq: 2 INVITE\r\n") && text.ends_with("offer"), "{text}");
    assert_eq!(again.call_id(), invite.call_id());
    // The same again is a no.
    answer(&mut net, &again, 422, "t", &[("Min-SE", "4000")], "");
    assert_eq!(net.end(CALLER), (422, true));
}

#[test]
fn a_far_end_without_update_is_refreshed_by_a_re_invite_with_the_last_offer() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    let headers = [("Session-Expires", "100;refresher=uac"), ("Allow", "INVITE, ACK, BYE")];
    answer(&mut net, &invite, 200, "t", &headers, "answer");
    net.pass_ms(50_100);
    let refresh = net.last(CALLER, "INVITE sip:t@192.0.2.2");
    assert_eq!(refresh.body(), b"offer");
    answer(&mut net, &refresh, 200, "t", &headers, "answer");
    net.pass_ms(50_100);
    assert_eq!(net.sent(CALLER, "INVITE sip:t@"), 2, "refreshed, and again half-way");
    assert_eq!(net.bodies(CALLER).len(), 1, "the user is told nothing of it");
}

#[test]
fn an_update_that_is_not_known_after_all_gives_way_to_a_re_invite() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    let headers = [("Session-Expires", "100"), ("Allow", "INVITE, UPDATE")];
    answer(&mut net, &invite, 200, "t", &headers, "answer");
    net.pass_ms(50_010);
    let update = net.last(CALLER, "UPDATE");
    assert!(update.body().is_empty());
    answer(&mut net, &update, 501, "t", &[], "");
    assert_eq!(net.last(CALLER, "INVITE sip:t@").body(), b"offer");
    // It knows nothing of the call: neither do we, then.
    let refresh = net.last(CALLER, "INVITE sip:t@");
    answer(&mut net, &refresh, 481, "t", &[], "");
    assert_eq!(net.sent(CALLER, "BYE"), 1);
}

#[test]
fn who_shall_refresh_and_does_not_is_hung_up_on() {
    let mut net = Net::calm();
    let offer = session("offer");
    let more = format!("Supported: timer\nSession-Expires: 120;refresher=uac\nMin-SE: 90\n{offer}");
    net.deliver_text(CALLEE, &request("INVITE", "1", "", 1, &more));
    net.answer();
    assert!(net.text(CALLEE, "SIP/2.0 200").contains("Session-Expires: 120;refresher=uac\r\nRequire: timer\r\n"));
    let tag = tag_of(&net);
    net.deliver_text(CALLEE, &request("ACK", "2", &tag, 1, "\n"));
    net.pass_ms(80_000);
    let update = request("UPDATE", "3", &tag, 2, "Supported: timer\nSession-Expires: 120;refresher=uac\n\n");
    net.deliver_text(CALLEE, &update);
    assert!(net.text(CALLEE, "SIP/2.0 200").contains("Session-Expires: 120;refresher=uac\r\n"));
    net.pass_ms(87_000);
    assert_eq!(net.sent(CALLEE, "BYE"), 0);
    net.pass_ms(1_100);
    assert_eq!(net.sent(CALLEE, "BYE"), 1, "a third of 120 s is more than 32");
    net.pass_ms(100_000);
    assert!(net.is_empty());
}

#[test]
fn a_refresh_and_an_offer_of_the_user_are_one() {
    let mut net = alone();
    net.dial();
    let invite = net.last(CALLER, "INVITE");
    let headers = [("Session-Expires", "100;refresher=uac"), ("Allow", "INVITE, UPDATE")];
    answer(&mut net, &invite, 200, "t", &headers, "answer");
    net.pass_ms(49_000);
    net.command(CALLER, crate::agent::Command::Reoffer { body: b"hold".to_vec() });
    net.pass_ms(2_000);
    assert_eq!(net.sent(CALLER, "UPDATE"), 0);
    let reinvite = net.last(CALLER, "INVITE sip:t@");
    answer(&mut net, &reinvite, 200, "t", &headers, "held");
    net.pass_ms(49_000);
    assert_eq!(net.sent(CALLER, "UPDATE"), 0, "it was refreshed by the offer");
    inside(&mut net, &invite, "BYE", "t", 1, "\n");
    net.pass_ms(100_000);
    assert!(net.is_empty());
}
