//! Where packets may go, and from where they are heard.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_model::*;

use crate::bridges::{APART, Pair};
use crate::ends::{Driver, FarEnd, HERE, plan, play};

/// Neither the host that signals, nor in a network that is named.
const ELSEWHERE: &str = "127.0.0.2";

fn elsewhere() -> FarEnd {
    FarEnd::on(ELSEWHERE.parse().unwrap())
}

fn count(driver: &Driver) {
    driver.tell(1, MediaCommand::Count { ask: 1 });
    driver.until(|event| matches!(event, MediaEvent::Counted { .. }));
}

#[test]
fn an_address_of_nobody_gets_nothing_until_it_has_sent() {
    let driver = Driver::start((24_000, 24_099));
    let mut far = elsewhere();
    let rtp = driver.open_with(1, plan(far.address()));
    driver.tell(1, play(1, 440, 1_000, 0));
    assert!(far.hear(Duration::from_millis(400)).sequences.is_empty());
    // Another port there, and another host, are not it.
    let (mut beside, mut stranger) = (elsewhere(), FarEnd::on("127.0.0.3".parse().unwrap()));
    for _ in 0..20 {
        beside.say(rtp, &[0; 160]);
        stranger.say(rtp, &[0; 160]);
    }
    for end in [&far, &beside, &stranger] {
        assert!(end.hear(Duration::from_millis(200)).sequences.is_empty());
    }
    far.say(rtp, &[0; 160]);
    assert!(far.hear(Duration::from_millis(600)).headers.len() > 10, "it has sent first");
    for end in [&beside, &stranger] {
        assert!(end.hear(Duration::from_millis(100)).sequences.is_empty());
    }
    driver.tell(1, MediaCommand::Close);
    assert!(far.hears_a_report() && !beside.hears_a_report() && !stranger.hears_a_report());
}

#[test]
fn reports_go_nowhere_before_sound_may() {
    let driver = Driver::start((24_100, 24_199));
    let far = elsewhere();
    driver.open_with(1, plan(far.address()));
    driver.tell(1, MediaCommand::Close);
    assert!(!far.hears_a_report());
    // Sound to the host that signals, reports to another: those stay at home.
    let (near, mut aimed) = (FarEnd::new(), plan(FarEnd::new().address()));
    if let Some(remote) = &mut aimed.remote {
        (remote.rtp, remote.rtcp) = (near.address(), far.reports.local_addr().unwrap());
    }
    driver.open_with(1, aimed);
    assert!(!near.hear(Duration::from_millis(300)).sequences.is_empty());
    driver.tell(1, MediaCommand::Close);
    assert!(!far.hears_a_report());
}

#[test]
fn a_network_that_is_named_is_sent_to_at_once() {
    let driver = Driver::start((24_200, 24_299));
    let far = elsewhere();
    let networks: Arc<[_]> = Arc::new(["10.0.0.0/8".parse().unwrap(), "127.0.0.2/32".parse().unwrap()]);
    driver.open_with(1, MediaPlan { networks, ..plan(far.address()) });
    driver.tell(1, play(1, 440, 1_000, 0));
    assert!(far.hear(Duration::from_millis(600)).headers.len() > 10);
    driver.tell(1, MediaCommand::Close);
    assert!(far.hears_a_report());
}

#[test]
fn before_it_is_known_who_signals_nothing_is_learnt_and_nothing_sent() {
    let driver = Driver::start((24_300, 24_399));
    let mut far = FarEnd::new();
    let nobody: IpAddr = "0.0.0.0".parse().unwrap();
    let dialled = MediaPlan { peer: nobody, ..plan(far.address()) };
    let rtp = driver.open_with(1, MediaPlan { remote: None, ..dialled.clone() });
    driver.tell(1, play(1, 440, 1_000, 0));
    far.speak(rtp, 300, 200);
    driver.tell(1, MediaCommand::Update(dialled));
    far.speak(rtp, 300, 200);
    assert!(far.hear(Duration::from_millis(200)).sequences.is_empty());
    assert!(
        !driver
            .told_within(Duration::from_millis(50))
            .iter()
            .any(|(_, event)| { matches!(event, MediaEvent::FirstPacket { .. }) })
    );
    driver.tell(1, MediaCommand::Update(plan(far.address())));
    assert!(far.hear(Duration::from_millis(600)).headers.len() > 10, "it was answered");
    far.speak(rtp, 300, 40);
    driver.until(|event| *event == MediaEvent::FirstPacket { from: far.address() });
}

#[test]
fn another_far_end_takes_the_place_and_the_stream_goes_on() {
    let driver = Driver::start((24_400, 24_499));
    let (mut first, mut second) = (FarEnd::new(), elsewhere());
    let rtp = driver.open_with(1, plan(first.address()));
    driver.tell(1, play(1, 440, 1_000, 0));
    first.speak(rtp, 300, 100);
    let before = first.hear(Duration::from_millis(400));
    driver.tell(1, MediaCommand::Update(MediaPlan { peer: second.address().ip(), ..plan(second.address()) }));
    count(&driver);
    first.hear(Duration::from_millis(50));
    let after = second.hear(Duration::from_millis(400));
    let (last, next) = (before.headers[before.headers.len() - 1], after.headers[0]);
    let step = next.0.wrapping_sub(last.0);
    assert!((1..50).contains(&step), "{step}");
    assert_eq!(next.1.wrapping_sub(last.1), u32::from(step) * 160);
    assert_eq!(before.ssrcs[0], after.ssrcs[0]);
    // The first one is nobody any more.
    first.speak(rtp, 300, 200);
    assert!(first.hear(Duration::from_millis(200)).sequences.is_empty());
    second.speak(rtp, 300, 100);
    driver.until(|event| *event == MediaEvent::FirstPacket { from: second.address() });
    // The same place, and another who signals: it is learnt anew, and may be sent to as long as it
    // is one of those that are named.
    driver.tell(1, MediaCommand::Update(MediaPlan { peer: HERE, ..plan(second.address()) }));
    count(&driver);
    second.hear(Duration::from_millis(20));
    assert!(second.hear(Duration::from_millis(200)).sequences.is_empty());
    second.speak(rtp, 300, 20);
    driver.until(|event| *event == MediaEvent::FirstPacket { from: second.address() });
    assert!(!second.hear(Duration::from_millis(200)).sequences.is_empty());
}

#[test]
fn a_spray_of_strangers_moves_nothing_on_a_bridge() {
    let mut pair = Pair::open(24_500, APART, FarEnd::new(), FarEnd::new());
    let mut strangers = [FarEnd::new(), elsewhere()];
    let (rtp, one, two) = (pair.rtp, &mut pair.one, &pair.two);
    pair.driver.tell(1, MediaCommand::Bridge { with: LegKey(2), digits: BridgeDigits::Pass });
    pair.driver.until(|event| *event == MediaEvent::Bridged { result: Ok(()) });
    // Before the far end has sent, while it sends, and after it.
    let mut spray = || {
        for _ in 0..300 {
            for stranger in &mut strangers {
                // In no order: who guesses the next number has the right host.
                stranger.sequence = stranger.sequence.wrapping_add(10);
                stranger.say(rtp.0, &[0x11; 160]);
            }
        }
    };
    spray();
    let heard = std::thread::scope(|scope| {
        scope.spawn(|| one.speak(rtp.0, 440, 600));
        spray();
        two.hear(Duration::from_millis(900))
    });
    spray();
    assert!(heard.headers.len() >= 25, "{}", heard.headers.len());
    assert!(heard.is_unbroken());
    assert!(!heard.payloads.iter().any(|payload| payload[..] == [0x11; 160]), "a stranger speaks");
    assert!(two.hear(Duration::from_millis(100)).sequences.is_empty());
    for stranger in &strangers {
        assert!(stranger.hear(Duration::from_millis(100)).sequences.is_empty(), "a stranger hears");
    }
}

/// Nobody else's ticks suffer from a leg that more comes for than a phone sends.
#[test]
fn a_flood_at_one_leg_leaves_the_others_alone() {
    let mut pair = Pair::open(24_700, APART, FarEnd::new(), FarEnd::new());
    pair.driver.tell(1, MediaCommand::Bridge { with: LegKey(2), digits: BridgeDigits::Pass });
    pair.driver.until(|event| *event == MediaEvent::Bridged { result: Ok(()) });
    // On the thread of the bridge.
    let third = FarEnd::new();
    pair.driver.open(3, third.address());
    pair.driver.tell(3, play(1, 440, 1_000, 0));
    third.hear_up_to(5, Duration::from_secs(5));
    let (one, two, rtp) = (&mut pair.one, &pair.two, pair.rtp.0);
    let mut stranger = elsewhere();
    let (heard, passed) = std::thread::scope(|scope| {
        // Before its far end has sent anything the socket takes what comes; then from that far end.
        scope.spawn(|| {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(500) {
                stranger.say(rtp, &[0x11; 160]);
            }
            while begun.elapsed() < Duration::from_millis(1_000) {
                one.say(rtp, &[0x22; 160]);
            }
        });
        let passed = scope.spawn(|| two.hear(Duration::from_millis(1_100)));
        (third.hear(Duration::from_millis(1_000)), passed.join().unwrap())
    });
    assert!(heard.is_unbroken() && heard.headers.len() >= 45, "{}", heard.headers.len());
    let left_out: u32 = heard.headers.windows(2).map(|pair| pair[1].1.wrapping_sub(pair[0].1) / 160 - 1).sum();
    assert!(left_out <= 2, "{left_out} ticks were left out");
    let most = 16 * (1_100 / 20 + 2);
    assert!((1..=most).contains(&passed.headers.len()), "{}", passed.headers.len());
    assert!(!passed.payloads.iter().any(|payload| payload[..] == [0x11; 160]));
}
