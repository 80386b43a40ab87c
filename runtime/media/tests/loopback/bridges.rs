//! Two legs that hear each other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callbox_audio::g711::Law;
use callbox_audio::goertzel_db;
use callbox_model::*;

use crate::ends::{Driver, FarEnd, plan, plan_a, play};

/// Two legs, whose homes are one thread or two.
pub(crate) const TOGETHER: (u64, u64) = (1, 4);
pub(crate) const APART: (u64, u64) = (1, 2);

pub(crate) struct Pair {
    pub(crate) driver: Driver,
    pub(crate) legs: (u64, u64),
    pub(crate) one: FarEnd,
    pub(crate) two: FarEnd,
    /// Where the driver hears each.
    pub(crate) rtp: (SocketAddr, SocketAddr),
}

impl Pair {
    pub(crate) fn open(first_port: u16, legs: (u64, u64), one: FarEnd, two: FarEnd) -> Self {
        let driver = Driver::start((first_port, first_port + 99));
        let planned = |end: &FarEnd| if end.law == Law::Mu { plan(end.address()) } else { plan_a(end.address()) };
        let rtp = (driver.open_with(legs.0, planned(&one)), driver.open_with(legs.1, planned(&two)));
        let pair = Self { driver, legs, one, two, rtp };
        // What is sent to open NATs is over.
        pair.one.hear(Duration::from_millis(100));
        pair.two.hear(Duration::from_millis(100));
        pair
    }

    pub(crate) fn bridge(&self, digits: BridgeDigits) {
        let (one, two) = self.legs;
        self.driver.tell(one, MediaCommand::Bridge { with: LegKey(two), digits });
        let answer = self.driver.until(|event| matches!(event, MediaEvent::Bridged { .. }));
        assert_eq!(answer, MediaEvent::Bridged { result: Ok(()) });
    }

    pub(crate) fn part(&self) {
        self.driver.tell(self.legs.0, MediaCommand::Part);
        self.driver.until_of(self.legs.0, |event| *event == MediaEvent::Parted);
    }

    /// Both speak at once, for a second: how much each hears of what the other says, in decibels.
    fn talk(&mut self) -> [f32; 2] {
        let (one, two, rtp) = (&mut self.one, &mut self.two, self.rtp);
        std::thread::scope(|scope| {
            scope.spawn(|| one.speak(rtp.0, 440, 1_000));
            scope.spawn(|| two.speak(rtp.1, 700, 1_000));
        });
        let (at_one, at_two) = (one.hear(Duration::from_millis(100)), two.hear(Duration::from_millis(100)));
        assert!(at_one.is_unbroken() && at_two.is_unbroken());
        let loud = |samples: &[i16], hz| if samples.len() < 6_000 { -100.0 } else { goertzel_db(samples, hz) };
        assert!(loud(&at_one.samples, 440.0) < -30.0 && loud(&at_two.samples, 700.0) < -30.0, "nobody hears himself");
        [loud(&at_one.samples, 700.0), loud(&at_two.samples, 440.0)]
    }
}

#[test]
fn both_hear_each_other_in_one_law_and_in_two() {
    for (port, legs, two) in [
        (22_100, TOGETHER, FarEnd::new()),
        (22_200, APART, FarEnd::new()),
        (22_300, TOGETHER, FarEnd::speaking_a()),
        (22_400, APART, FarEnd::speaking_a()),
    ] {
        let mut pair = Pair::open(port, legs, FarEnd::new(), two);
        assert_eq!(pair.talk(), [-100.0, -100.0], "nothing is heard before the bridge");
        pair.bridge(BridgeDigits::Pass);
        let heard = pair.talk();
        assert!(heard.iter().all(|&level| level > -17.0), "{legs:?}: {heard:?}");
        pair.part();
        assert_eq!(pair.talk(), [-100.0, -100.0], "nothing is heard after it");
    }
}

#[test]
fn what_is_said_in_one_law_goes_over_at_once_and_untouched() {
    let mut pair = Pair::open(22_500, APART, FarEnd::new(), FarEnd::new());
    pair.bridge(BridgeDigits::Pass);
    let mut delays = Vec::new();
    let mut before = None;
    for number in 0..60u8 {
        let said: Vec<u8> = (0..160u8).map(|at| at.wrapping_mul(7).wrapping_add(number)).collect();
        let begun = Instant::now();
        pair.one.say(pair.rtp.0, &said);
        let heard = pair.two.hear_up_to(1, Duration::from_secs(2));
        assert_eq!(heard.payloads, [said]);
        delays.push(heard.at[0] - begun);
        let (sequence, timestamp, marker) = heard.headers[0];
        if let Some((sequence_before, timestamp_before)) = before {
            assert_eq!(
                (sequence, timestamp, marker),
                (u16::wrapping_add(sequence_before, 1), u32::wrapping_add(timestamp_before, 160), false)
            );
        } else {
            assert!(marker, "a talk spurt begins");
        }
        before = Some((sequence, timestamp));
        // At another moment of the frame each time.
        std::thread::sleep(Duration::from_millis(13));
    }
    delays.sort();
    assert!(delays[30] < Duration::from_millis(6), "with the next tick it would be ten: {:?}", delays[30]);
}

#[test]
fn losses_and_silence_are_heard_as_they_are() {
    let mut pair = Pair::open(22_600, TOGETHER, FarEnd::new(), FarEnd::new());
    pair.bridge(BridgeDigits::Pass);
    pair.one.speak(pair.rtp.0, 440, 200);
    // Three packets are lost, then half a second is silence.
    pair.one.sequence += 3;
    pair.one.timestamp += 480;
    pair.one.speak(pair.rtp.0, 440, 200);
    std::thread::sleep(Duration::from_millis(500));
    pair.one.timestamp += 4_000;
    pair.one.speak(pair.rtp.0, 440, 200);
    let heard = pair.two.hear(Duration::from_millis(100));
    let steps: Vec<_> = heard
        .headers
        .windows(2)
        .map(|pair| (pair[1].0.wrapping_sub(pair[0].0), pair[1].1.wrapping_sub(pair[0].1)))
        .filter(|step| *step != (1, 160))
        .collect();
    assert_eq!(steps, [(4, 640), (1, 4_160)]);
}

/// Presses a digit, and gives how often it was told, and what the other heard of it.
fn press(pair: &mut Pair, digit: char) -> (usize, usize) {
    pair.one.speak(pair.rtp.0, 440, 200);
    pair.one.press(pair.rtp.0, digit);
    pair.one.speak(pair.rtp.0, 440, 200);
    let told = pair.driver.told_within(Duration::from_millis(400));
    let began = MediaEvent::DigitBegan { digit };
    let ended = MediaEvent::DigitEnded { digit, length: 100 };
    let is_digit = |event: &MediaEvent| matches!(event, MediaEvent::DigitBegan { .. } | MediaEvent::DigitEnded { .. });
    let told: Vec<_> = told.into_iter().filter(|(_, event)| is_digit(event)).collect();
    assert!(told.iter().all(|(leg, _)| *leg == LegKey(pair.legs.0)), "{told:?}");
    assert_eq!(told.iter().filter(|(_, event)| *event == began).count(), 1);
    let heard = pair.two.hear(Duration::from_millis(100));
    assert!(heard.is_unbroken(), "what is kept leaves no hole: {:?}", heard.sequences);
    assert!(heard.headers.len() >= 20, "the sound goes on");
    if let Some((at, first)) = heard.events.first() {
        assert!(heard.events.iter().all(|(other, event)| other == at && event.event == first.event));
        assert!(heard.events.iter().any(|(_, event)| event.is_end && event.duration == 800));
        let last_before = heard.headers[9].1;
        assert_eq!(at.wrapping_sub(last_before), 160, "it begins where the sound ended");
    }
    (told.iter().filter(|(_, event)| *event == ended).count(), heard.events.len())
}

#[test]
fn digits_pass_or_are_kept_and_are_told_once() {
    let mut pair = Pair::open(22_700, APART, FarEnd::new(), FarEnd::speaking_a());
    pair.bridge(BridgeDigits::Pass);
    assert_eq!(press(&mut pair, '5'), (1, 7));
    pair.driver.tell(pair.legs.0, MediaCommand::Sensitive(true));
    assert_eq!(press(&mut pair, '6'), (1, 0), "sensitive digits never pass");
    pair.driver.tell(pair.legs.0, MediaCommand::Sensitive(false));
    pair.bridge(BridgeDigits::Keep);
    assert_eq!(press(&mut pair, '7'), (1, 0));
}

#[test]
fn what_plays_is_heard_in_place_of_the_other() {
    let mut pair = Pair::open(22_800, APART, FarEnd::new(), FarEnd::new());
    pair.bridge(BridgeDigits::Pass);
    let (rtp, two) = (pair.rtp.0, pair.legs.1);
    let one = &mut pair.one;
    let (before, during, after) = std::thread::scope(|scope| {
        scope.spawn(|| one.speak(rtp, 440, 3_000));
        let before = pair.two.hear(Duration::from_millis(600));
        pair.driver.tell(two, play(1, 880, 600, 1));
        let during = pair.two.hear_up_to(30, Duration::from_secs(5));
        pair.driver.until_of(two, |event| matches!(event, MediaEvent::Played { .. }));
        (before, during, pair.two.hear(Duration::from_millis(600)))
    });
    let all = [&before.headers[..], &during.headers, &after.headers].concat();
    for pair in all.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1), "the sequence goes on");
        let step = pair[1].1.wrapping_sub(pair[0].1);
        assert!(step == 160 || pair[1].2 && (160..=480).contains(&step), "and the timestamps: {step}");
    }
    assert!(goertzel_db(&before.samples, 440.0) > -17.0);
    assert!(goertzel_db(&during.samples, 880.0) > -18.0 && goertzel_db(&during.samples[2_000..4_000], 440.0) < -40.0);
    assert!(goertzel_db(&after.samples, 440.0) > -17.0 && goertzel_db(&after.samples, 880.0) < -25.0);
}

#[test]
fn digits_that_are_sent_to_a_bridged_leg_are_heard_and_answered() {
    let mut pair = Pair::open(22_900, APART, FarEnd::new(), FarEnd::new());
    pair.bridge(BridgeDigits::Keep);
    let rtp = pair.rtp.0;
    let one = &mut pair.one;
    let heard = std::thread::scope(|scope| {
        scope.spawn(|| one.speak(rtp, 440, 1_500));
        pair.driver.tell(pair.legs.1, MediaCommand::SendDigits { digits: "12".to_owned() });
        pair.two.hear(Duration::from_millis(1_500))
    });
    assert!(heard.is_unbroken());
    let events: Vec<_> = heard.events.iter().filter(|(_, event)| event.is_end).map(|(_, event)| event.event).collect();
    assert_eq!(events, [1, 1, 1, 2, 2, 2]);
    assert!(heard.headers.len() > 40, "and the other, when they are over");
    let told = pair.driver.told_within(Duration::from_millis(200));
    let sent: Vec<_> = told.iter().filter(|(_, event)| matches!(event, MediaEvent::DigitsSent { .. })).collect();
    assert_eq!(sent, [&(LegKey(pair.legs.1), MediaEvent::DigitsSent { result: Ok(()) })]);
}

#[test]
fn digits_that_cannot_be_sent_are_answered_all_the_same() {
    let driver = Driver::start((23_000, 23_099));
    let far = FarEnd::new();
    let mut deaf = plan(far.address());
    if let Some(remote) = &mut deaf.remote {
        remote.dtmf_payload_type = None;
    }
    driver.open_with(1, deaf);
    let send = |digits: &str| driver.tell(1, MediaCommand::SendDigits { digits: digits.to_owned() });
    let failed = |event: &MediaEvent| matches!(event, MediaEvent::DigitsSent { result: Err(_) });
    send("1");
    driver.until(failed);
    driver.tell(1, MediaCommand::Update(plan(far.address())));
    send("1x");
    driver.until(failed);
    send("123456789");
    send("123456789");
    driver.tell(1, MediaCommand::Close);
    driver.until(failed);
    driver.until(failed);
    driver.until(|event| matches!(event, MediaEvent::Closed { .. }));
    send("1");
    driver.until(failed);
    assert_eq!(driver.told_within(Duration::from_millis(100)), []);
}

#[test]
fn nothing_is_sent_to_a_leg_that_is_held() {
    let mut pair = Pair::open(23_100, TOGETHER, FarEnd::new(), FarEnd::new());
    pair.bridge(BridgeDigits::Pass);
    pair.one.speak(pair.rtp.0, 440, 200);
    let before = pair.two.hear(Duration::from_millis(100));
    let mut held = plan(pair.two.address());
    if let Some(remote) = &mut held.remote {
        remote.send = false;
    }
    pair.driver.tell(pair.legs.1, MediaCommand::Update(held));
    pair.driver.tell(pair.legs.1, MediaCommand::SendDigits { digits: "1".to_owned() });
    pair.driver.until(|event| matches!(event, MediaEvent::DigitsSent { result: Err(_) }));
    pair.one.speak(pair.rtp.0, 440, 400);
    assert!(pair.two.hear(Duration::from_millis(100)).sequences.is_empty());
    pair.two.speak(pair.rtp.1, 700, 400);
    assert!(pair.one.hear(Duration::from_millis(100)).headers.len() >= 20, "it is heard itself");
    // We have put it on hold: it is not heard either.
    let mut silent = plan(pair.two.address());
    if let Some(remote) = &mut silent.remote {
        remote.receive = false;
    }
    pair.driver.tell(pair.legs.1, MediaCommand::Update(silent));
    pair.driver.tell(pair.legs.1, MediaCommand::Count { ask: 0 });
    pair.driver.until(|event| matches!(event, MediaEvent::Counted { .. }));
    pair.two.speak(pair.rtp.1, 700, 200);
    assert!(pair.one.hear(Duration::from_millis(100)).sequences.is_empty());
    pair.driver.tell(pair.legs.1, MediaCommand::Update(plan(pair.two.address())));
    pair.driver.tell(pair.legs.1, MediaCommand::Count { ask: 1 });
    pair.driver.until(|event| matches!(event, MediaEvent::Counted { .. }));
    pair.one.speak(pair.rtp.0, 440, 200);
    let after = pair.two.hear(Duration::from_millis(100));
    assert_eq!(after.sequences[0], before.sequences[before.sequences.len() - 1].wrapping_add(1));
}

/// Begins to record both legs, each direction by itself.
fn record(pair: &Pair) -> [RecordingId; 2] {
    let ids = [RecordingId::from_u128(7), RecordingId::from_u128(8)];
    for (leg, recording) in [pair.legs.0, pair.legs.1].into_iter().zip(ids) {
        let plan = RecordPlan {
            recording,
            tenant: TenantId::from_u128(6),
            tracks: Tracks::Separate,
            max: None,
            silence: None,
            beep: false,
        };
        pair.driver.tell(leg, MediaCommand::Record { step: 2, plan });
    }
    ids
}

/// Closes both, and gives half a second of what the far end said, and of what it heard.
fn recorded(pair: &Pair, ids: [RecordingId; 2]) -> [[Vec<i16>; 2]; 2] {
    for leg in [pair.legs.0, pair.legs.1] {
        pair.driver.tell(leg, MediaCommand::Close);
        let end = pair.driver.until_of(leg, |event| matches!(event, MediaEvent::Recorded { .. }));
        let MediaEvent::Recorded { end: RecordEnd::Finished { length, .. }, .. } = end else { panic!("{end:?}") };
        assert!(length > 800, "{length}");
    }
    ids.map(|recording| {
        let file = pair.driver.folder.path().join(format!("{}/{recording}.wav", TenantId::from_u128(6)));
        let bytes = std::fs::read(file).unwrap();
        let samples: Vec<i16> =
            bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        [0, 1].map(|at| samples.iter().skip(at).step_by(2).copied().skip(2_400).take(4_000).collect())
    })
}

#[test]
fn both_directions_of_a_bridged_leg_are_recorded() {
    let mut pair = Pair::open(23_200, APART, FarEnd::new(), FarEnd::speaking_a());
    pair.bridge(BridgeDigits::Pass);
    let ids = record(&pair);
    pair.talk();
    for ([left, right], (said, heard)) in recorded(&pair, ids).iter().zip([(440.0, 700.0), (700.0, 440.0)]) {
        assert!(goertzel_db(left, said) > -18.0 && goertzel_db(left, heard) < -30.0, "what the far end said");
        assert!(goertzel_db(right, heard) > -18.0 && goertzel_db(right, said) < -30.0, "what it heard");
    }
}

#[test]
fn what_is_nobodys_business_is_in_no_recording_of_either_leg() {
    let mut pair = Pair::open(24_600, APART, FarEnd::new(), FarEnd::new());
    pair.bridge(BridgeDigits::Pass);
    pair.driver.tell(pair.legs.0, MediaCommand::Sensitive(true));
    let ids = record(&pair);
    pair.talk();
    let [[said_one, _], [said_two, heard_two]] = recorded(&pair, ids);
    assert!(goertzel_db(&said_one, 440.0) < -60.0 && goertzel_db(&heard_two, 440.0) < -60.0);
    assert!(goertzel_db(&said_two, 700.0) > -18.0, "the other is");
}
