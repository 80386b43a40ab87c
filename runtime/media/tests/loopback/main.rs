//! The driver on loopback, against far ends made of plain sockets that listen to what they hear.

mod bridges;
mod ends;
mod moves;
mod reach;

use std::collections::HashMap;
use std::time::Duration;

use callbox_audio::goertzel_db;
use callbox_model::*;
use ends::{Driver, FarEnd, plan, tone};

#[test]
fn a_play_is_replaced_without_a_break() {
    let driver = Driver::start((20_000, 20_099));
    let far = FarEnd::new();
    driver.open(1, far.address());
    let play = |step, sounds, repeat| MediaCommand::Play { step, sounds, repeat, gain_db: 0 };
    driver.handle.send(LegKey(1), play(1, vec![tone(440, 1_000)], 0));
    let first = far.hear(Duration::from_millis(900));
    driver.handle.send(
        LegKey(1),
        play(2, vec![Sound::Speech(Speech { text: "hello".to_owned(), voice: None, language: None })], 1),
    );
    let second = far.hear(Duration::from_millis(900));
    assert!(goertzel_db(&first.samples[1_600..], 440.0) > -16.0);
    assert!(goertzel_db(&second.samples, 880.0) > -22.0);
    let headers = [first.headers, second.headers].concat();
    let spurts = headers.iter().filter(|(_, _, marker)| *marker).count();
    assert!(spurts <= 2, "one spurt, or two when the first sound was late: {spurts}");
    for pair in headers.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1), "the sequence has no hole");
        let step = pair[1].1.wrapping_sub(pair[0].1);
        assert!(step.is_multiple_of(160) && (step == 160 || pair[1].2), "timestamps go on: {step}");
    }
    let mut ends = HashMap::new();
    for _ in 0..2 {
        if let MediaEvent::Played { step, end, played } =
            driver.until(|event| matches!(event, MediaEvent::Played { .. }))
        {
            ends.insert(step, (end, played));
        }
    }
    assert_eq!(ends[&1].0, PlayEnd::Replaced);
    assert_eq!(ends[&2], (PlayEnd::Finished, 500));
}

#[test]
fn what_is_missing_is_told() {
    let driver = Driver::start((20_100, 20_199));
    driver.open(1, FarEnd::new().address());
    let sounds = vec![Sound::Asset { application: ApplicationId::from_u128(1), name: "hold.wav".to_owned() }];
    driver.handle.send(LegKey(1), MediaCommand::Play { step: 1, sounds, repeat: 0, gain_db: 0 });
    let end = driver.until(|event| matches!(event, MediaEvent::Played { .. }));
    assert_eq!(
        end,
        MediaEvent::Played { step: 1, played: 0, end: PlayEnd::Failed(MediaFault::NoAsset("hold.wav".to_owned())) }
    );
    driver.handle.send(LegKey(2), MediaCommand::Close);
    assert!(matches!(driver.until(|event| matches!(event, MediaEvent::Closed { .. })), MediaEvent::Closed { .. }));
}

#[test]
fn digits_and_silence_are_told() {
    let driver = Driver::start((20_200, 20_299));
    let mut far = FarEnd::new();
    let rtp = driver.open(1, far.address());
    far.speak(rtp, 300, 100);
    far.press(rtp, '5');
    far.press(rtp, '#');
    for digit in ['5', '#'] {
        assert_eq!(
            driver.until(|event| matches!(event, MediaEvent::DigitBegan { .. })),
            MediaEvent::DigitBegan { digit }
        );
        assert_eq!(
            driver.until(|event| matches!(event, MediaEvent::DigitEnded { .. })),
            MediaEvent::DigitEnded { digit, length: 100 }
        );
    }
    assert_eq!(driver.until(|event| matches!(event, MediaEvent::Silent { .. })), MediaEvent::Silent { for_ms: 2_000 });
}

#[test]
fn a_stranger_neither_hears_nor_moves_the_stream() {
    let driver = Driver::start((20_300, 20_399));
    let mut far = FarEnd::new();
    let rtp = driver.open(1, far.address());
    driver
        .handle
        .send(LegKey(1), MediaCommand::Play { step: 1, sounds: vec![tone(440, 1_000)], repeat: 0, gain_db: 0 });
    far.speak(rtp, 300, 200);
    let mut stranger = FarEnd::new();
    for _ in 0..100 {
        stranger.send(rtp, 0, 0, false, &[0; 160]);
    }
    let heard = far.hear(Duration::from_millis(400));
    assert!(heard.headers.len() > 10, "the stream has moved");
    assert!(stranger.hear(Duration::from_millis(400)).headers.is_empty(), "a stranger hears the call");
}

#[test]
fn both_directions_are_recorded() {
    let driver = Driver::start((20_400, 20_499));
    let mut far = FarEnd::new();
    let rtp = driver.open(1, far.address());
    let recording = RecordingId::from_u128(5);
    let plan = RecordPlan {
        recording,
        tenant: TenantId::from_u128(6),
        tracks: Tracks::Separate,
        max: None,
        silence: None,
        beep: false,
    };
    driver
        .handle
        .send(LegKey(1), MediaCommand::Play { step: 1, sounds: vec![tone(440, 1_000)], repeat: 0, gain_db: 0 });
    driver.handle.send(LegKey(1), MediaCommand::Record { step: 2, plan });
    far.speak(rtp, 700, 1_500);
    driver.handle.send(LegKey(1), MediaCommand::Close);
    let end = driver.until(|event| matches!(event, MediaEvent::Recorded { .. }));
    let MediaEvent::Recorded { end: RecordEnd::Finished { length, bytes, by }, .. } = end else { panic!("{end:?}") };
    assert!(length > 1_000 && bytes > 30_000 && by == "closed");
    driver.until(|event| matches!(event, MediaEvent::Closed { .. }));
    let file = driver.folder.path().join(format!("{}/{recording}.wav", TenantId::from_u128(6)));
    let bytes = std::fs::read(file).unwrap();
    let samples: Vec<i16> = bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let track = |at: usize| samples.iter().skip(at).step_by(2).copied().skip(2_400).take(6_000).collect::<Vec<_>>();
    let (left, right) = (track(0), track(1));
    assert!(goertzel_db(&left, 700.0) > -17.0 && goertzel_db(&left, 440.0) < -40.0, "what the far end said");
    assert!(goertzel_db(&right, 440.0) > -17.0 && goertzel_db(&right, 700.0) < -40.0, "what it heard");
}

#[test]
fn a_recording_that_is_stopped_at_the_very_end_is_told_before_its_leg_is_closed() {
    let driver = Driver::start((20_400, 20_499));
    for round in 0..10 {
        driver.open(round, "127.0.0.1:9".parse().unwrap());
        let (tenant, recording) = (TenantId::from_u128(6), RecordingId::from_u128(100 + u128::from(round)));
        let tracks = Tracks::Mixed;
        let plan = RecordPlan { recording, tenant, tracks, max: None, silence: None, beep: false };
        driver.tell(round, MediaCommand::Record { step: 2, plan });
        std::thread::sleep(Duration::from_millis(50));
        driver.tell(round, MediaCommand::StopRecord { step: 2 });
        driver.tell(round, MediaCommand::Close);
        let is_end = |event: &MediaEvent| matches!(event, MediaEvent::Recorded { .. } | MediaEvent::Closed { .. });
        let end = driver.until(is_end);
        assert!(matches!(end, MediaEvent::Recorded { end: RecordEnd::Finished { .. }, .. }), "{end:?}");
        assert!(matches!(driver.until(is_end), MediaEvent::Closed { .. }));
    }
}

#[test]
fn digits_are_pressed_towards_the_far_end() {
    let driver = Driver::start((20_500, 20_599));
    let near = Driver::start((20_600, 20_699));
    let there = driver.open(1, "127.0.0.1:9".parse().unwrap());
    let here = near.open(2, there);
    driver.handle.send(LegKey(1), MediaCommand::Update(plan(here)));
    near.handle.send(LegKey(2), MediaCommand::SendDigits { digits: "19#".to_owned() });
    for digit in "19#".chars() {
        assert_eq!(
            driver.until(|event| matches!(event, MediaEvent::DigitBegan { .. })),
            MediaEvent::DigitBegan { digit }
        );
    }
    near.until(|event| *event == MediaEvent::DigitsSent { result: Ok(()) });
}

#[test]
fn a_hundred_legs_play_at_once() {
    let driver = Driver::start((21_000, 21_399));
    let ends: Vec<_> = (0..100).map(|_| FarEnd::new()).collect();
    for (leg, far) in ends.iter().enumerate() {
        driver.open(leg as u64, far.address());
        let sounds = vec![tone(440, 2_000)];
        driver.handle.send(LegKey(leg as u64), MediaCommand::Play { step: 1, sounds, repeat: 0, gain_db: 0 });
    }
    // What a busy machine could not send in time is left out; a quarter of the sound is there at least.
    for far in &ends {
        let heard = far.hear_up_to(25, Duration::from_secs(20));
        assert_eq!(heard.headers.len(), 25);
        assert!(heard.headers.windows(2).all(|pair| pair[1].0 == pair[0].0.wrapping_add(1)), "in order, none twice");
    }
    assert_eq!(driver.handle.open_legs(), 100);
    for leg in 0..100 {
        driver.handle.send(LegKey(leg), MediaCommand::Close);
    }
    for _ in 0..100 {
        driver.until(|event| matches!(event, MediaEvent::Closed { .. }));
    }
    assert_eq!(driver.handle.open_legs(), 0);
}

/// Digits that are nobody's business: what the far end sends meanwhile is not in the recording.
#[test]
fn a_recording_is_silent_while_digits_are_gathered_in_confidence() {
    let driver = Driver::start((40_700, 40_799));
    let mut far = FarEnd::new();
    let rtp = driver.open(1, far.address());
    let recording = RecordingId::from_u128(7);
    let (tenant, tracks) = (TenantId::from_u128(6), Tracks::Mixed);
    let plan = RecordPlan { recording, tenant, tracks, max: None, silence: None, beep: false };
    driver.handle.send(LegKey(1), MediaCommand::Record { step: 2, plan });
    far.speak(rtp, 700, 600);
    driver.handle.send(LegKey(1), MediaCommand::Sensitive(true));
    far.speak(rtp, 900, 800);
    driver.handle.send(LegKey(1), MediaCommand::Sensitive(false));
    far.speak(rtp, 1_100, 600);
    driver.handle.send(LegKey(1), MediaCommand::Close);
    driver.until(|event| matches!(event, MediaEvent::Closed { .. }));
    let file = driver.folder.path().join(format!("{tenant}/{recording}.wav"));
    let bytes = std::fs::read(file).unwrap();
    let samples: Vec<i16> = bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let frames = |hz: f32| samples.chunks_exact(160).filter(|frame| goertzel_db(frame, hz) > -20.0).count();
    let [before, during, after] = [700.0, 900.0, 1_100.0].map(frames);
    assert!(before > 20 && after > 20, "{before} frames before, {after} after");
    // What was on its way when the gathering began and ended, and no more of 40 frames.
    assert!(during <= 8, "{during} frames were recorded in between");
}
