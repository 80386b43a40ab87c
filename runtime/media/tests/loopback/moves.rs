//! Legs that go from thread to thread, and bridges that begin and end.

use std::time::{Duration, Instant};

use callbox_audio::goertzel_db;
use callbox_model::*;

use crate::bridges::{APART, Pair};
use crate::ends::{Driver, FarEnd, play};

fn bridge(with: u64) -> MediaCommand {
    MediaCommand::Bridge { with: LegKey(with), digits: BridgeDigits::Pass }
}

fn is_bridged(event: &MediaEvent) -> bool {
    *event == MediaEvent::Bridged { result: Ok(()) }
}

fn is_refused(event: &MediaEvent) -> bool {
    matches!(event, MediaEvent::Bridged { result: Err(_) })
}

#[test]
fn a_tone_goes_on_unbroken_while_its_leg_moves() {
    let pair = Pair::open(23_300, APART, FarEnd::new(), FarEnd::new());
    let (one, two) = pair.legs;
    // Both have another leg at their own home, so that each of them is moved in turn.
    pair.driver.tell(one, play(1, 440, 10_000, 0));
    pair.one.hear_up_to(5, Duration::from_secs(5));
    let heard = std::thread::scope(|scope| {
        let hears = scope.spawn(|| pair.one.hear(Duration::from_millis(2_500)));
        for _ in 0..10 {
            pair.driver.tell(one, bridge(two));
            pair.driver.until_of(one, is_bridged);
            std::thread::sleep(Duration::from_millis(50));
            pair.driver.tell(two, bridge(one));
            pair.driver.until_of(two, is_bridged);
            std::thread::sleep(Duration::from_millis(57));
        }
        hears.join().unwrap()
    });
    assert!(heard.headers.len() > 100);
    assert!(goertzel_db(&heard.samples, 440.0) > -14.5, "{}", goertzel_db(&heard.samples, 440.0));
    assert!(heard.is_unbroken());
    assert!(heard.headers.windows(2).all(|pair| pair[1].1.wrapping_sub(pair[0].1) == 160), "no tick is left out");
    let mut gaps: Vec<_> = heard.at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort();
    // Other work of the machine may delay a few.
    let most = gaps[gaps.len() - gaps.len() / 20 - 1];
    assert!(most <= Duration::from_millis(25), "{most:?}");
}

#[test]
fn no_packet_is_lost_while_a_leg_moves() {
    let mut pair = Pair::open(23_400, APART, FarEnd::new(), FarEnd::new());
    let (one, two) = pair.legs;
    pair.one.speak(pair.rtp.0, 440, 100);
    let (speaker, rtp) = (&mut pair.one, pair.rtp.0);
    std::thread::scope(|scope| {
        scope.spawn(|| speaker.speak(rtp, 440, 1_500));
        for _ in 0..10 {
            pair.driver.tell(one, bridge(two));
            pair.driver.tell(two, bridge(one));
            pair.driver.until_of(two, |event| matches!(event, MediaEvent::Bridged { .. }));
            std::thread::sleep(Duration::from_millis(60));
        }
    });
    std::thread::sleep(Duration::from_millis(100));
    pair.driver.tell(one, MediaCommand::Count { ask: 1 });
    let counted = pair.driver.until_of(one, |event| matches!(event, MediaEvent::Counted { .. }));
    let MediaEvent::Counted { frames, .. } = counted else { panic!() };
    assert_eq!((frames.received, frames.dropped), (80, 0));
}

#[test]
fn what_is_told_to_a_leg_on_its_way_is_done_in_order() {
    let pair = Pair::open(23_500, APART, FarEnd::new(), FarEnd::new());
    let (one, two) = pair.legs;
    for round in 0..50u32 {
        pair.driver.tell(one, bridge(two));
        for ask in 0..5 {
            pair.driver.tell(one, MediaCommand::Count { ask: round * 10 + ask });
        }
        pair.driver.tell(two, bridge(one));
        pair.driver.tell(one, MediaCommand::Part);
        for ask in 5..10 {
            pair.driver.tell(one, MediaCommand::Count { ask: round * 10 + ask });
        }
        let mut asks = Vec::new();
        let mut parted_after = None;
        while asks.len() < 10 {
            let event = pair.driver.until_of(one, |_| true);
            match event {
                MediaEvent::Counted { ask, .. } => asks.push(ask),
                MediaEvent::Parted => parted_after = Some(asks.len()),
                _ => {}
            }
        }
        assert_eq!(asks, (round * 10..round * 10 + 10).collect::<Vec<_>>());
        assert_eq!(parted_after, Some(5));
    }
    assert_eq!(pair.driver.handle.open_legs(), 2);
}

#[test]
fn a_bridge_ends_with_part_with_another_bridge_and_with_a_leg() {
    let driver = Driver::start((23_600, 23_699));
    let mut ends: Vec<_> = (0..4).map(|_| FarEnd::new()).collect();
    let rtp: Vec<_> = (0..4).map(|leg| driver.open(leg, ends[leg as usize].address())).collect();
    for end in &ends {
        end.hear(Duration::from_millis(100));
    }
    // Who hears leg 0.
    let mut heard_by = || -> Vec<usize> {
        ends[0].speak(rtp[0], 440, 200);
        (1..4).filter(|&at| ends[at].hear(Duration::from_millis(100)).headers.len() >= 9).collect()
    };
    let make = |leg, with| {
        driver.tell(leg, bridge(with));
        driver.until_of(leg, is_bridged);
    };
    make(0, 1);
    assert_eq!(heard_by(), [1]);
    make(0, 2);
    assert_eq!(heard_by(), [2]);
    make(3, 0);
    assert_eq!(heard_by(), [3]);
    make(1, 2);
    make(0, 1);
    assert_eq!(heard_by(), [1], "the other's bridge has ended too");
    // From the other side.
    driver.tell(1, MediaCommand::Part);
    driver.until_of(1, |event| *event == MediaEvent::Parted);
    assert!(heard_by().is_empty());
    driver.tell(1, MediaCommand::Part);
    driver.until_of(1, |event| *event == MediaEvent::Parted);
    make(2, 0);
    driver.tell(2, MediaCommand::Close);
    driver.until_of(2, |event| matches!(event, MediaEvent::Closed { .. }));
    assert!(heard_by().is_empty());
    make(0, 3);
    assert_eq!(heard_by(), [3]);
    assert_eq!(driver.handle.open_legs(), 3);
    for leg in [0, 1, 3] {
        driver.tell(leg, MediaCommand::Close);
        driver.until_of(leg, |event| matches!(event, MediaEvent::Closed { .. }));
    }
    assert_eq!(driver.handle.open_legs(), 0);
}

#[test]
fn a_bridge_with_nobody_is_refused() {
    let driver = Driver::start((23_700, 23_799));
    let far = FarEnd::new();
    driver.open(1, far.address());
    for with in [1, 2, 3, 4] {
        driver.tell(1, bridge(with));
        driver.until_of(1, is_refused);
        driver.tell(with + 10, bridge(1));
        driver.until_of(with + 10, is_refused);
    }
    // It closes while the other is looked for, or is there again at once: one answer each.
    driver.open(2, far.address());
    let closes = |leg: u64| {
        driver.tell(1, bridge(2));
        driver.tell(leg, MediaCommand::Close);
        let mut told = [0; 2];
        while told != [1, 1] {
            match driver.until(|_| true) {
                MediaEvent::Bridged { .. } => told[0] += 1,
                MediaEvent::Closed { .. } => told[1] += 1,
                _ => {}
            }
            assert!(told.iter().all(|&count| count <= 1), "one answer each: {told:?}");
        }
        driver.open(leg, far.address());
    };
    for _ in 0..20 {
        closes(2);
        closes(1);
    }
    assert_eq!(driver.handle.open_legs(), 2);
}

/// Whatever is asked of legs, in whatever order: each question has one answer, and when all are
/// closed nothing is left.
#[test]
fn everything_is_answered_once() {
    let driver = Driver::start_threads((23_800, 23_999), 4);
    let ends: Vec<_> = (0..6).map(|_| FarEnd::new()).collect();
    let mut chance = 0x2545_f491_4f6c_dd1du64;
    let mut next = |most: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % most
    };
    for _ in 0..5 {
        for (leg, far) in (0..).zip(&ends) {
            driver.open(leg, far.address());
        }
        let mut asked = [0usize; 4];
        for step in 0..400 {
            let leg = next(6);
            let command = match next(6) {
                0..=2 => {
                    asked[0] += 1;
                    bridge(next(7))
                }
                3 => {
                    asked[1] += 1;
                    MediaCommand::Part
                }
                4 => {
                    asked[2] += 1;
                    MediaCommand::SendDigits { digits: "1".to_owned() }
                }
                _ => {
                    asked[3] += 1;
                    play(step, 440, 40, 1)
                }
            };
            driver.tell(leg, command);
            if next(8) == 0 {
                std::thread::sleep(Duration::from_micros(next(3_000)));
            }
        }
        for leg in 0..6 {
            driver.tell(leg, MediaCommand::Close);
        }
        let (mut told, mut closed) = ([0usize; 4], 0);
        let deadline = Instant::now() + Duration::from_secs(20);
        while closed < 6 && Instant::now() < deadline {
            match driver.until(|_| true) {
                MediaEvent::Bridged { .. } => told[0] += 1,
                MediaEvent::Parted => told[1] += 1,
                MediaEvent::DigitsSent { .. } => told[2] += 1,
                MediaEvent::Played { .. } => told[3] += 1,
                MediaEvent::Closed { .. } => closed += 1,
                _ => {}
            }
        }
        assert_eq!((told, closed), (asked, 6));
        assert_eq!(driver.handle.open_legs(), 0);
    }
}
