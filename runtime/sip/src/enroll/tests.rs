use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::message::Limits;

const CONTACT: &str = "sip:trunk@192.0.2.1:5060";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn enrolment(seed: u64) -> Enrolment {
    Enrolment::new(Duration::ZERO, "one@here".to_owned(), CONTACT.to_owned(), seconds(600), seed)
}

fn response(status: u16, cseq: u32, headers: &[&str]) -> Result<Message, u16> {
    let head = format!("SIP/2.0 {status} Something\r\nCSeq: {cseq} REGISTER\r\n");
    let text = headers.iter().fold(head, |text, header| text + header + "\r\n") + "\r\n";
    Ok(Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap())
}

fn granted(cseq: u32, expires_s: u32) -> Result<Message, u16> {
    response(200, cseq, &[&format!("Contact: <{CONTACT}>;expires={expires_s}")])
}

/// Waits until it wants to send.
fn next(enrolment: &mut Enrolment, now: &mut Duration) -> Register {
    *now = enrolment.next_deadline().expect("it waits for something").max(*now);
    enrolment.tick(*now).expect("it was due")
}

#[test]
fn it_registers_and_refreshes_in_time() {
    for seed in 0..50 {
        let (mut enrolment, mut now) = (enrolment(seed), Duration::ZERO);
        let first = next(&mut enrolment, &mut now);
        assert!(now <= START_WITHIN);
        let expected =
            Register { expires_s: 600, cseq: 1, call_id: "one@here".to_owned(), contact: CONTACT.to_owned() };
        assert_eq!(first, expected);
        assert_eq!((enrolment.state(), enrolment.next_deadline()), (&State::Registering, None));
        assert_eq!(enrolment.tick(now + seconds(100)), None, "one request at a time");
        // The challenge was answered with the count after it.
        enrolment.answered(now, &granted(2, 600));
        let start = now;
        assert_eq!(enrolment.state(), &State::Registered { until: now + seconds(600) });
        assert_eq!(next(&mut enrolment, &mut now), Register { cseq: 3, ..expected });
        assert!((seconds(486)..=seconds(540)).contains(&(now - start)), "{:?}", now - start);
        assert!(matches!(enrolment.state(), State::Registered { .. }), "it is, while it refreshes");
    }
}

#[test]
fn what_is_granted_counts() {
    let other = "Contact: <sip:other@198.51.100.1>;expires=30";
    let ours = "Contact: <sip:TRUNK@192.0.2.1:5060>, <sip:trunk@192.0.2.1:5060;x=y>;expires=120";
    for (headers, until) in [
        (vec![other, ours], Some(120)),
        (vec!["Contact: <sip:rewritten@198.51.100.1>;expires=90"], Some(90)),
        (vec!["Expires: 300"], Some(300)),
        (vec!["Contact: <sip:trunk@192.0.2.1:5060>", "Expires: 300"], Some(300)),
        (vec![], Some(600)),
        (vec!["Expires: 0"], None),
        (vec!["Expires: 99999999"], Some(86_400)),
    ] {
        let (mut enrolment, mut now) = (enrolment(1), Duration::ZERO);
        next(&mut enrolment, &mut now);
        enrolment.answered(now, &response(200, 1, &headers));
        match until {
            Some(until) => assert_eq!(enrolment.state(), &State::Registered { until: now + seconds(until) }),
            None => assert!(matches!(enrolment.state(), State::Failed { status: 200, .. }), "{headers:?}"),
        }
    }
}

#[test]
fn a_refresh_leaves_time_for_a_try_that_fails() {
    let mut enrolment = enrolment(1);
    for granted_s in 1..4_000 {
        let granted = seconds(granted_s);
        let after = enrolment.refresh_after(granted);
        assert!(after >= LEAST_PAUSE);
        if granted > 2 * GIVE_UP {
            assert!(after + GIVE_UP <= granted, "{granted_s} s: {after:?}");
        }
    }
}

#[test]
fn too_brief_is_made_longer_once_each_time() {
    let (mut enrolment, mut now) = (enrolment(1), Duration::ZERO);
    next(&mut enrolment, &mut now);
    enrolment.answered(now, &response(423, 1, &["Min-Expires: 1800"]));
    assert_eq!(enrolment.next_deadline(), Some(now));
    let longer = next(&mut enrolment, &mut now);
    assert_eq!((longer.expires_s, longer.cseq), (1_800, 2));
    enrolment.answered(now, &response(423, 2, &["Min-Expires: 1800"]));
    assert!(matches!(enrolment.state(), State::Failed { status: 423, .. }), "that is no reason");
    next(&mut enrolment, &mut now);
    enrolment.answered(now, &response(423, 3, &["Min-Expires: 99999999"]));
    assert!(matches!(enrolment.state(), State::Failed { status: 423, .. }));
}

#[test]
fn failures_are_tried_again_ever_more_slowly() {
    let (mut enrolment, mut now) = (enrolment(1), Duration::ZERO);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let before = now;
        next(&mut enrolment, &mut now);
        pauses.push(now - before);
        enrolment.answered(now, &Err(408));
        assert_eq!(enrolment.state(), &State::Failed { status: 408, reason: "Request Timeout".to_owned() });
    }
    let most = [30, 60, 120, 240, 480, 960, 1_800, 1_800, 1_800, 1_800, 1_800].map(seconds);
    for (pause, most) in pauses[1..].iter().zip(most) {
        assert!((most / 2..=most).contains(pause), "{pause:?} {most:?}");
    }
    next(&mut enrolment, &mut now);
    enrolment.answered(now, &granted(500, 600));
    assert!(matches!(enrolment.state(), State::Registered { .. }));
    assert_eq!(next(&mut enrolment, &mut now).cseq, 501);
    let before = now;
    enrolment.answered(now, &Err(503));
    next(&mut enrolment, &mut now);
    assert!(now - before <= FIRST_PAUSE, "a success begins anew");
}

#[test]
fn a_refusal_is_not_repeated_soon_and_retry_after_is_kept() {
    for (status, headers, least, most) in [
        (403, vec![], 480, 960),
        (401, vec![], 480, 960),
        (603, vec![], 480, 960),
        (503, vec![], 15, 30),
        (503, vec!["Retry-After: 300;duration=60"], 300, 300),
        (503, vec!["Retry-After: 120 (busy)"], 120, 120),
        (503, vec!["Retry-After: 99999999"], 1_800, 1_800),
    ] {
        let (mut enrolment, mut now) = (enrolment(7), Duration::ZERO);
        next(&mut enrolment, &mut now);
        enrolment.answered(now, &response(status, 1, &headers));
        assert_eq!(enrolment.state(), &State::Failed { status, reason: "Something".to_owned() });
        let pause = enrolment.next_deadline().unwrap() - now;
        assert!((seconds(least)..=seconds(most)).contains(&pause), "{status} {headers:?}: {pause:?}");
    }
}

#[test]
fn it_leaves_when_it_is_stopped() {
    let (mut enrolment, mut now) = (enrolment(1), Duration::ZERO);
    next(&mut enrolment, &mut now);
    enrolment.answered(now, &granted(1, 600));
    enrolment.stop(now);
    let leave = next(&mut enrolment, &mut now);
    assert_eq!((leave.expires_s, leave.cseq), (0, 2));
    enrolment.stop(now);
    assert_eq!(enrolment.tick(now), None, "once");
    enrolment.answered(now, &Err(408));
    assert_eq!((enrolment.state(), enrolment.next_deadline()), (&State::Ended, None));
    assert_eq!(enrolment.tick(now + seconds(9_999)), None);
}

#[test]
fn it_leaves_after_the_answer_that_is_owed_and_not_at_all_when_nothing_stands() {
    let (mut asking, mut now) = (enrolment(1), Duration::ZERO);
    next(&mut asking, &mut now);
    asking.stop(now);
    assert_eq!(asking.tick(now), None);
    asking.answered(now, &granted(1, 600));
    assert_eq!(asking.tick(now).map(|leave| leave.expires_s), Some(0));
    // A refresh that failed takes nothing back.
    let mut failed = enrolment(1);
    next(&mut failed, &mut now);
    failed.answered(now, &granted(1, 600));
    next(&mut failed, &mut now);
    failed.answered(now, &Err(503));
    failed.stop(now);
    assert_eq!(failed.tick(now).map(|leave| leave.expires_s), Some(0));
    let mut fresh = enrolment(1);
    fresh.stop(now);
    assert_eq!(fresh.tick(seconds(9_999)), None);
    assert_eq!(fresh.state(), &State::Ended);
}

#[test]
fn a_lost_connection_is_told_soon() {
    let (mut enrolment, mut now) = (enrolment(1), Duration::ZERO);
    next(&mut enrolment, &mut now);
    enrolment.answered(now, &granted(1, 600));
    enrolment.flow_lost(now);
    assert!(enrolment.next_deadline().unwrap() <= now + START_WITHIN);
    next(&mut enrolment, &mut now);
    enrolment.answered(now, &Err(503));
    let pause = enrolment.next_deadline();
    enrolment.flow_lost(now);
    assert_eq!(enrolment.next_deadline(), pause, "failures keep their pauses");
}

proptest! {
    /// Counts rise, requests come one by one and never in a rush, and it always goes on until it
    /// is stopped.
    #[test]
    fn whatever_is_answered(
        seed in any::<u64>(),
        answers in proptest::collection::vec((prop::sample::select(&[200u16, 401, 403, 408, 423, 500, 503][..]), any::<u32>(), any::<bool>()), 1..60),
    ) {
        let (mut enrolment, mut now, mut last) = (enrolment(seed), Duration::ZERO, 0);
        let (start, count) = (now, answers.len());
        for (status, number, is_answered) in answers {
            let request = next(&mut enrolment, &mut now);
            prop_assert!(request.cseq > last);
            last = request.cseq;
            let headers = [
                format!("Contact: <{CONTACT}>;expires={number}"),
                format!("Min-Expires: {}", number % 100_000),
                format!("Retry-After: {number}"),
            ];
            let headers: Vec<_> = headers.iter().map(String::as_str).collect();
            let result = if is_answered { response(status, last, &headers) } else { Err(status) };
            enrolment.answered(now, &result);
        }
        // 423 alone is followed at once, and each time it is for longer.
        prop_assert!(now - start <= seconds(86_400) * u32::try_from(count).unwrap());
        enrolment.stop(now);
        enrolment.tick(now);
        enrolment.answered(now, &Err(408));
        prop_assert_eq!(enrolment.state(), &State::Ended);
    }
}
