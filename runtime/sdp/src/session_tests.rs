use proptest::prelude::*;

use super::*;

fn local() -> SocketAddr {
    "192.0.2.1:4000".parse().unwrap()
}

fn offer(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}")
}

fn answer(media: &str) -> Result<(String, Agreed), Error> {
    let written = Session::new(8).answer(&Description::read(offer(media).as_bytes())?, local(), Direction::SendRecv)?;
    Ok((String::from_utf8(written.body).unwrap(), written.agreed))
}

#[test]
fn an_ordinary_phone_is_answered() {
    let (body, agreed) =
        answer("m=audio 7078 RTP/AVP 96 8 0 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n")
            .unwrap();
    assert_eq!(
        body,
        "v=0\r\no=- 4 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(agreed.payload, 8);
    assert_eq!(agreed.events, Some(101));
    assert_eq!(agreed.rtp, "192.0.2.9:7078".parse().unwrap());
    assert_eq!(agreed.rtcp, "192.0.2.9:7079".parse().unwrap());
    assert!(agreed.sends && agreed.receives);
}

#[test]
fn codecs_may_have_dynamic_numbers() {
    let (body, agreed) = answer("m=audio 7078 RTP/AVP 97\r\na=rtpmap:97 pcmu/8000\r\n").unwrap();
    assert_eq!((agreed.payload, agreed.codec, agreed.events), (97, Codec::Pcmu, None));
    assert!(body.contains("m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 PCMU/8000\r\n"), "{body}");
}

#[test]
fn hold_is_mirrored_new_and_old() {
    for (media, theirs, sends, receives) in [
        ("a=sendonly\r\n", "a=recvonly", false, true),
        ("a=recvonly\r\n", "a=sendonly", true, false),
        ("a=inactive\r\n", "a=inactive", false, false),
        ("c=IN IP4 0.0.0.0\r\n", "a=recvonly", false, true),
        ("c=IN IP4 0.0.0.0\r\na=inactive\r\n", "a=inactive", false, false),
    ] {
        let (body, agreed) = answer(&format!("m=audio 7078 RTP/AVP 0\r\n{media}")).unwrap();
        assert!(body.contains(theirs), "{media}: {body}");
        assert_eq!((agreed.sends, agreed.receives), (sends, receives), "{media}");
    }
}

#[test]
fn other_streams_are_declined_in_their_places() {
    let (body, _) = answer(
        "m=video 9000 RTP/AVP 99\r\nm=audio 7078 RTP/AVP 0\r\nm=image 9002 udptl t38\r\nm=audio 7080 RTP/AVP 8\r\n",
    )
    .unwrap();
    let streams: Vec<_> = body.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        streams,
        ["m=video 0 RTP/AVP 99", "m=audio 4000 RTP/AVP 0", "m=image 0 udptl t38", "m=audio 0 RTP/AVP 8"]
    );
}

#[test]
fn what_cannot_be_agreed_says_why() {
    for (media, words) in [
        ("m=audio 7078 RTP/AVP 18\r\n", "no codec in common"),
        ("m=audio 7078 RTP/SAVP 0\r\n", "RTP/SAVP"),
        ("m=video 7078 RTP/AVP 99\r\n", "no audio"),
        ("m=audio 0 RTP/AVP 0\r\n", "declined"),
        ("m=audio 7078 RTP/AVP 0\r\nc=IN IP4 224.2.1.1\r\n", "not one host"),
        ("m=audio 7078 RTP/AVP 0\r\nc=IN IP4 phone.example\r\n", "no IP address"),
    ] {
        let error = answer(media).unwrap_err().to_string();
        assert!(error.contains(words), "{media}: {error}");
    }
    let many = "m=audio 9 RTP/AVP 0\r\n".repeat(65);
    assert_eq!(answer(&many).unwrap_err(), Error::TooManyStreams { found: 65 });
    let attributes = format!("m=audio 9 RTP/AVP 0\r\n{}", "a=x\r\n".repeat(257));
    assert_eq!(answer(&attributes).unwrap_err(), Error::TooManyAttributes { found: 257 });
}

/// Found by fuzzing: the answer was longer than what we would read.
#[test]
fn a_payload_type_that_is_offered_many_times_is_answered_once() {
    let offered = format!("m=audio 9 RTP/AVP 0{} 200\r\na=rtpmap:200 PCMU/8000\r\n", " 0 8".repeat(300));
    let (body, agreed) = answer(&offered).unwrap();
    assert_eq!(agreed.accept, [(0, Codec::Pcmu), (8, Codec::Pcma)]);
    assert_eq!(body.matches("a=rtpmap").count(), 2, "{body}");
}

#[test]
fn oddities_of_the_real_world_are_read() {
    // No s= line, no t= line, a session number of 128 bits, lines that end in LF alone.
    for text in [
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 7078 RTP/AVP 0\r\n",
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nm=audio 7078 RTP/AVP 0\r\n",
        "v=0\r\no=- 340282366920938463463374607431768211455 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 7078 RTP/AVP 0\r\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 7078 RTP/AVP 0\n",
    ] {
        assert!(Description::read(text.as_bytes()).is_ok(), "{text}: {:?}", Description::read(text.as_bytes()));
    }
}

#[test]
fn control_packets_go_nowhere_else() {
    let audio = |line: &str| {
        Description::read(offer(&format!("m=audio 7078 RTP/AVP 0\r\n{line}\r\n")).as_bytes()).unwrap().audio.rtcp
    };
    assert_eq!(audio("a=rtcp:9001"), "192.0.2.9:9001".parse().unwrap());
    assert_eq!(audio("a=rtcp:9001 IN IP4 198.51.100.1"), "192.0.2.9:9001".parse().unwrap());
}

#[test]
fn the_version_grows_with_a_change_alone() {
    let mut session = Session::new(2);
    let version = |body: Vec<u8>| String::from_utf8(body).unwrap().lines().nth(1).unwrap().to_owned();
    let first = version(session.offer(local(), Direction::SendRecv));
    assert_eq!(first, version(session.offer(local(), Direction::SendRecv)));
    let held = version(session.offer(local(), Direction::SendOnly));
    assert_eq!(held, "o=- 1 2 IN IP4 192.0.2.1");
}

#[test]
fn our_offer_and_their_answer_agree() {
    let mut ours = Session::new(2);
    let offer = ours.offer("[2001:db8::1]:4000".parse().unwrap(), Direction::SendRecv);
    let mut theirs = Session::new(4);
    let read = Description::read(&offer).unwrap();
    let written = theirs.answer(&read, "[2001:db8::2]:5000".parse().unwrap(), Direction::RecvOnly).unwrap();
    let agreed = ours.accept(&Description::read(&written.body).unwrap(), Direction::SendRecv).unwrap();
    assert_eq!(agreed.rtp, "[2001:db8::2]:5000".parse().unwrap());
    assert_eq!((agreed.sends, agreed.receives), (true, false));
    assert_eq!((written.agreed.sends, written.agreed.receives), (false, true));
    assert_eq!((agreed.payload, agreed.events), (0, Some(101)));
}

#[test]
fn a_later_offer_keeps_the_streams_and_payload_types_of_the_first() {
    let theirs = offer(
        "m=video 9000 RTP/AVP 99\r\nm=audio 7078 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\nm=image 9002 udptl t38\r\n",
    );
    let mut ours = Session::new(2);
    ours.answer(&Description::read(theirs.as_bytes()).unwrap(), local(), Direction::SendRecv).unwrap();
    let held = String::from_utf8(ours.offer(local(), Direction::SendOnly)).unwrap();
    let streams: Vec<_> = held.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(streams, ["m=video 0 RTP/AVP 99", "m=audio 4000 RTP/AVP 0 8 96", "m=image 0 udptl t38"]);
    assert!(held.contains("a=sendonly") && held.starts_with("v=0\r\no=- 1 2 "), "{held}");

    let mut far = Session::new(4);
    let read = Description::read(held.as_bytes()).unwrap();
    let answer = far.answer(&read, "192.0.2.9:7078".parse().unwrap(), Direction::SendRecv).unwrap();
    let agreed = ours.accept(&Description::read(&answer.body).unwrap(), Direction::SendOnly).unwrap();
    assert_eq!((agreed.sends, agreed.receives, agreed.events), (true, false, Some(96)));
    let alone = offer("m=audio 7078 RTP/AVP 0\r\na=recvonly\r\n");
    let error = ours.accept(&Description::read(alone.as_bytes()).unwrap(), Direction::SendOnly).unwrap_err();
    assert_eq!(error, Error::StreamCount { offered: 3, found: 1 });
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Description::read(&bytes);
    }

    #[test]
    fn what_is_read_can_be_answered(
        lines in proptest::collection::vec("[mcas]=[ -~]{0,40}", 0..12),
        port in 1u16..,
    ) {
        let text = offer(&format!("m=audio {port} RTP/AVP 0 8\r\n{}\r\n", lines.join("\r\n")));
        if let Ok(description) = Description::read(text.as_bytes()) {
            let written = Session::new(2).answer(&description, local(), Direction::SendRecv).unwrap();
            let again = Description::read(&written.body).unwrap();
            prop_assert_eq!(again.streams.len(), description.streams.len());
        }
    }
}
