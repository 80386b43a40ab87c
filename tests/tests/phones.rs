//! Phones that nobody here wrote place calls, press digits and record what they hear.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::ear::Ear;
use callbox_tests::phones::{self, Baresip};
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, items, lines, text};

/// What `echo-digits` answers a digit with.
fn tone_of(digit: char) -> f32 {
    300.0 + 100.0 * digit.to_digit(10).unwrap_or_default() as f32
}

/// Three seconds of a tone, for phones that play a file.
fn voice(path: &Path, hz: f32) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec)?;
    for at in 0..8_000 * 30 {
        file.write_sample((8_000.0 * (std::f32::consts::TAU * hz * at as f32 / 8_000.0).sin()) as i16)?;
    }
    Ok(file.finalize()?)
}

/// Each digit was answered by its tone, in order, for half a second.
fn echoed(ear: &Ear, digits: &[char]) {
    let tones: Vec<_> = digits.iter().map(|digit| tone_of(*digit)).collect();
    assert_eq!(ear.melody(&tones), tones, "of digits {digits:?}");
    for hz in tones {
        let length = ear.longest(hz).map_or(0.0, |stretch| stretch.length_s());
        assert!((0.35..0.8).contains(&length), "{hz} Hz was heard for {length:.2} s");
    }
}

#[tokio::test]
async fn pjsua_presses_digits_and_hears_them_answered() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["echo-digits"]).await?;
    let presses = [(1.0, '3'), (2.5, '8'), (4.0, '1')];
    let (said, heard) =
        phones::pjsua(address::fresh(), &server.scratch("phone"), &server.uri("100"), &presses, 6.5).await?;
    assert!(said.contains("ended 200"), "{said}");
    echoed(&Ear::open(&heard)?, &['3', '8', '1']);
    let (_, events, _) = tenant.only_call().await?;
    assert_eq!(lines(&events), ["digit 3", "digit 8", "digit 1"]);
    Ok(())
}

#[tokio::test]
async fn baresip_presses_digits_and_hears_them_answered() -> Result<()> {
    let server = Server::start_outside().await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["echo-digits"]).await?;
    let plays = server.scratch("voice.wav");
    voice(&plays, 1_500.0)?;
    let mut phone = Baresip::start(address::outside(), &server.scratch("phone"), &plays).await?;
    phone.dial(&server.uri("100")).await?;
    phone.until("Call established", Duration::from_secs(20)).await?;
    for digit in ['2', '7'] {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        phone.press(digit).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    phone.hang_up().await?;
    let (_, events, _) = tenant.only_call().await?;
    assert_eq!(lines(&events), ["digit 2", "digit 7"]);
    echoed(&Ear::open(&phone.heard().await?)?, &['2', '7']);
    Ok(())
}

#[tokio::test]
async fn linphone_presses_digits_and_hears_them_answered() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["echo-digits"]).await?;
    let plays = server.scratch("voice.wav");
    voice(&plays, 1_500.0)?;
    let seconds = Duration::from_secs;
    let presses = [(seconds(3), "4"), (seconds(5), "6")];
    let folder = server.scratch("phone");
    let heard = phones::linphone(address::fresh(), &folder, &plays, &server.uri("100"), &presses, seconds(8)).await?;
    let (_, events, _) = tenant.only_call().await?;
    assert_eq!(lines(&events), ["digit 4", "digit 6"]);
    echoed(&Ear::open(&heard)?, &['4', '6']);
    Ok(())
}

/// The other way: what the phone says is in the recording that the API gives.
#[tokio::test]
async fn a_caller_is_recorded() -> Result<()> {
    let server = Server::start_outside().await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["record"]).await?;
    let plays = server.scratch("voice.wav");
    voice(&plays, 1_000.0)?;
    let mut phone = Baresip::start(address::outside(), &server.scratch("phone"), &plays).await?;
    phone.dial(&server.uri("100")).await?;
    phone.until("Call established", Duration::from_secs(20)).await?;
    let (call, events, _) = tenant.only_call().await?;
    assert_eq!(call["cause"]["remote"], false, "the module hangs up after three seconds");
    assert!(lines(&events).iter().any(|line| line.starts_with("recorded rec_")), "{:?}", lines(&events));
    let recordings = tenant.rest.get("/v1/recordings").await?;
    let id = text(items(&recordings).first().context("no recording")?, "id")?;
    let file = server.scratch("recording.wav");
    std::fs::write(&file, tenant.rest.download(&format!("/v1/recordings/{id}/audio")).await?)?;
    let ear = Ear::open(&file)?;
    let voice = ear.longest(1_000.0).context("the caller is not in the recording")?;
    assert!(voice.length_s() > 2.5 && ear.length_s() < 4.0, "{voice:?} of {:.2} s", ear.length_s());
    Ok(())
}
