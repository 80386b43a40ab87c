use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::authenticator::{Authenticator, Protection, Verdict};
use super::fields::Fields;
use super::{Algorithm, Qop, Verifiers, answer, is_stale, verifiers};
use crate::agent::Credentials;
use crate::header::Name;
use crate::message::{Limits, Message};

const REALM: &str = "example.org";
const BOTH: Protection<'_> = Protection { realm: REALM, md5: true };
const STRONG: Protection<'_> = Protection { realm: REALM, md5: false };

fn credentials(realm: Option<&str>, username: &str, password: &str) -> Credentials {
    Credentials { realm: realm.map(str::to_owned), username: username.to_owned(), password: password.to_owned() }
}

fn field(value: &str, name: &str) -> Option<String> {
    Fields::read(value.as_bytes())?.plain(name)
}

fn source(number: u32) -> IpAddr {
    IpAddr::from((0xc000_0200 + number).to_be_bytes())
}

fn register(authorization: &[u8]) -> Option<Message> {
    let head = b"REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n";
    let bytes = [head, &b"Authorization: "[..], authorization, b"\r\n\r\nbody"].concat();
    Message::parse_datagram(Bytes::from(bytes), &Limits::default()).ok()
}

/// A phone that answers what it is challenged with.
fn phone(challenges: &[String], password: &str, nc: u32) -> String {
    let credentials = credentials(None, "alice", password);
    answer(challenges, &credentials, "REGISTER", "sip:example.org", b"body", "cafe", nc).unwrap()
}

/// One user, alice, whose password is `secret`.
fn verify(
    server: &mut Authenticator,
    now: Duration,
    from: u32,
    protection: Protection<'_>,
    value: &str,
) -> Verdict<u8> {
    let request = register(value.as_bytes()).unwrap();
    let lookup = |name: &str| (name == "alice").then(|| (7, verifiers("alice", REALM, "secret")));
    server.verify(now, source(from), protection, &request, Name::Authorization, lookup)
}

fn passed() -> Verdict<u8> {
    Verdict::Passed { user: 7, name: "alice".to_owned() }
}

// What the RFCs print.

#[test]
fn rfc_2617_and_rfc_7616() {
    let mufasa = |password| credentials(None, "Mufasa", password);
    let ask = |challenge: &str, credentials: &Credentials, uri, cnonce| {
        let value = answer(&[challenge.to_owned()], credentials, "GET", uri, b"", cnonce, 1).unwrap();
        field(&value, "response").unwrap()
    };
    // RFC 2617 3.5.
    let challenge = r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
    let response = ask(challenge, &mufasa("Circle Of Life"), "/dir/index.html", "0a4f113b");
    assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    // RFC 7616 3.9.1.
    let challenge = |algorithm: &str| {
        format!(
            r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
        )
    };
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    for (algorithm, expected) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let response = ask(&challenge(algorithm), &mufasa("Circle of Life"), "/dir/index.html", cnonce);
        assert_eq!(response, expected, "{algorithm}");
    }
    // 3.9.2 with the values of erratum 4897: what is printed there was made with another hash.
    let challenge = r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#;
    let jason = credentials(Some("api@example.org"), "J\u{e4}s\u{f8}n Doe", "Secret, or not?");
    let response = ask(challenge, &jason, "/doe.json", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v");
    assert_eq!(response, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
}

#[test]
fn the_way_of_rfc_2069() {
    let challenge = r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#.to_owned();
    let mufasa = credentials(None, "Mufasa", "Circle Of Life");
    let value = answer(&[challenge], &mufasa, "GET", "/dir/index.html", b"", "x", 1).unwrap();
    assert_eq!(field(&value, "response").as_deref(), Some("670fd8c2df070c60b045671b8b24ff02"));
    for absent in ["qop", "nc", "cnonce", "algorithm", "opaque"] {
        assert_eq!(field(&value, absent), None, "{value}");
    }
}

/// Made with another implementation of the hashes.
#[test]
fn a_session_that_protects_the_body() {
    let challenge = r#"Digest realm="biloxi.com", nonce="n0nce", algorithm=SHA-256-sess, qop="auth-int""#.to_owned();
    let bob = credentials(Some("biloxi.com"), "bob", "zanzibar");
    let value = answer(&[challenge], &bob, "INVITE", "sip:bob@biloxi.com", b"v=0\r\n", "cn0nce", 10).unwrap();
    assert_eq!(
        value,
        "Digest username=\"bob\", realm=\"biloxi.com\", nonce=\"n0nce\", uri=\"sip:bob@biloxi.com\", \
         response=\"790d983282b22936b17f42bd27f96d510b19cc1615bca1f5e021aafea1d3cb7b\", \
         algorithm=SHA-256-sess, qop=auth-int, nc=0000000a, cnonce=\"cn0nce\""
    );
}

// The client.

#[test]
fn the_best_challenge_is_answered() {
    let challenge =
        |algorithm: &str| format!("Digest realm=\"r\", nonce=\"{algorithm}\", qop=\"auth\", algorithm={algorithm}");
    for (offered, chosen) in [
        (vec!["MD5"], Some("MD5")),
        (vec!["MD5", "SHA-256"], Some("SHA-256")),
        (vec!["SHA-256", "SHA-512-256", "MD5"], Some("SHA-256")),
        (vec!["SHA-512-256", "SHA-256"], Some("SHA-512-256")),
        (vec!["AKAv1-MD5", "MD5"], Some("MD5")),
        (vec!["TOKEN"], None),
        (vec![], None),
    ] {
        let challenges: Vec<_> = offered.iter().map(|algorithm| challenge(algorithm)).collect();
        let value = answer(&challenges, &credentials(None, "a", "b"), "INVITE", "sip:c", b"", "d", 1);
        assert_eq!(value.and_then(|value| field(&value, "algorithm")).as_deref(), chosen, "{offered:?}");
    }
}

#[test]
fn a_realm_that_was_not_meant_is_told_nothing() {
    let challenges = ["Digest realm=\"evil.example\", nonce=\"a\"".to_owned()];
    let ask = |realm| answer(&challenges, &credentials(realm, "a", "b"), "INVITE", "sip:c", b"", "d", 1);
    assert_eq!(ask(Some("carrier.example")), None);
    assert_eq!(ask(Some("EVIL.example")), None);
    assert!(ask(Some("evil.example")).is_some());
    assert!(ask(None).is_some());
}

#[test]
fn what_cannot_be_written_is_not_answered() {
    let challenge = |qop: &str| vec![format!("Digest realm=\"r\", nonce=\"a\", qop=\"{qop}\"")];
    let ask = |challenges: &[String], name: &str| {
        answer(challenges, &credentials(None, name, "b"), "INVITE", "sip:c", b"", "d", 1)
    };
    assert_eq!(ask(&challenge("auth"), "a\r\nX: y"), None);
    assert_eq!(ask(&challenge("token"), "a"), None);
    assert_eq!(ask(&["Basic realm=\"r\"".to_owned()], "a"), None);
    let value = ask(&challenge("auth"), "a\"b\\c").unwrap();
    assert!(value.contains(r#"username="a\"b\\c""#), "{value}");
    assert_eq!(field(&value, "username").as_deref(), Some("a\"b\\c"));
}

#[test]
fn staleness_is_read() {
    assert!(is_stale(&["Digest realm=\"r\", nonce=\"a\", stale=TRUE".to_owned()]));
    assert!(!is_stale(&["Digest realm=\"r\", nonce=\"a\", stale=false".to_owned(), "Basic x".to_owned()]));
}

// The server.

#[test]
fn sha_256_is_offered_first_and_md5_where_it_may() {
    let mut server = Authenticator::new([1; 32]);
    let offered = |challenges: Vec<String>| -> Vec<_> {
        challenges.iter().map(|challenge| field(challenge, "algorithm").unwrap()).collect()
    };
    assert_eq!(offered(server.challenge(Duration::ZERO, source(1), BOTH, false)), ["SHA-256", "MD5"]);
    assert_eq!(offered(server.challenge(Duration::ZERO, source(1), STRONG, false)), ["SHA-256"]);
    let one = server.challenge(Duration::ZERO, source(1), STRONG, true);
    assert!(one[0].ends_with(", stale=true, algorithm=SHA-256, qop=\"auth\""), "{}", one[0]);
    assert_ne!(one, server.challenge(Duration::ZERO, source(1), STRONG, true), "no nonce is like another");
}

#[test]
fn an_answer_counts_once() {
    let mut server = Authenticator::new([1; 32]);
    let challenges = server.challenge(Duration::ZERO, source(1), STRONG, false);
    for nc in [1, 3, 2, 70, 50] {
        let value = phone(&challenges, "secret", nc);
        assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &value), passed(), "{nc}");
        assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &value), Verdict::Stale, "{nc}");
    }
    // Too far behind to be known.
    let value = phone(&challenges, "secret", 4);
    assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &value), Verdict::Stale);
}

#[test]
fn a_nonce_is_for_one_source_one_realm_and_a_while() {
    let mut server = Authenticator::new([1; 32]);
    let start = Duration::from_secs(1_000);
    let challenges = server.challenge(start, source(1), STRONG, false);
    let value = phone(&challenges, "secret", 1);
    assert_eq!(verify(&mut server, start, 2, STRONG, &value), Verdict::Stale);
    let late = start + Authenticator::LIFETIME + Duration::from_secs(1);
    assert_eq!(verify(&mut server, late, 1, STRONG, &value), Verdict::Stale);
    assert_eq!(verify(&mut server, start - Duration::from_secs(1), 1, STRONG, &value), Verdict::Stale);
    assert_eq!(verify(&mut Authenticator::new([2; 32]), start, 1, STRONG, &value), Verdict::Stale);
    let other = Protection { realm: "other.example", md5: false };
    assert_eq!(verify(&mut server, start, 1, other, &value), Verdict::Absent);
    let moved = value.replace(REALM, "other.example");
    assert_eq!(verify(&mut server, start, 1, other, &moved), Verdict::Stale);
    assert_eq!(verify(&mut server, start, 1, STRONG, &value), passed());
}

#[test]
fn a_forgotten_nonce_is_stale_and_memory_is_bounded() {
    let mut server = Authenticator::new([1; 32]).with_windows(8);
    let first = server.challenge(Duration::ZERO, source(1), STRONG, false);
    let unused = server.challenge(Duration::ZERO, source(1), STRONG, false);
    let value = phone(&first, "secret", 1);
    assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &value), passed());
    for _ in 0..13 {
        let challenges = server.challenge(Duration::ZERO, source(1), STRONG, false);
        let value = phone(&challenges, "secret", 1);
        assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &value), passed());
    }
    assert_eq!(server.windows(), 8);
    assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &value), Verdict::Stale);
    assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &phone(&unused, "secret", 1)), Verdict::Stale);
    // Over time they go by themselves.
    let late = Authenticator::LIFETIME + Duration::from_secs(10);
    let challenges = server.challenge(late, source(1), STRONG, false);
    assert_eq!(verify(&mut server, late, 1, STRONG, &phone(&challenges, "secret", 1)), passed());
    assert_eq!(server.windows(), 1);
}

#[test]
fn strangers_and_wrong_passwords_get_the_same_answer() {
    let mut server = Authenticator::new([1; 32]);
    let mut answers = Vec::new();
    for (name, password) in [("alice", "wrong"), ("nobody", "secret")] {
        let challenges = server.challenge(Duration::ZERO, source(1), BOTH, false);
        let value = answer(&challenges, &credentials(None, name, password), "REGISTER", "sip:example.org", b"", "c", 1)
            .unwrap();
        let verdict = verify(&mut server, Duration::ZERO, 1, BOTH, &value);
        assert_eq!(verdict, Verdict::Wrong);
        let refusal = server.refusal(Duration::ZERO, source(1), BOTH, &verdict).unwrap();
        let shape: Vec<_> = refusal.headers.iter().map(|(name, value)| (name.clone(), value.len())).collect();
        answers.push((refusal.status, refusal.reason, shape));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 401);
}

#[test]
fn what_stands_for_no_user_is_right_for_nobody() {
    let server = Authenticator::new([1; 32]);
    assert!(format!("{server:?}").contains("Verifiers(..)"), "verifiers are not shown");
}

#[test]
fn guesses_meet_a_back_off_that_tells_when_to_come_again() {
    let mut server = Authenticator::new([1; 32]);
    let mut looked_at = 0;
    for at in 0..10_000u64 {
        let now = Duration::from_secs(at);
        let challenges = server.challenge(now, source(1), STRONG, false);
        match verify(&mut server, now, 1, STRONG, &phone(&challenges, &format!("guess{at}"), 1)) {
            Verdict::Wrong => looked_at += 1,
            Verdict::Held { retry_after } => assert!(retry_after <= Duration::from_secs(3_600)),
            other => panic!("{other:?}"),
        }
    }
    assert!((5..20).contains(&looked_at), "{looked_at}");
    let now = Duration::from_secs(10_000);
    let challenges = server.challenge(now, source(1), STRONG, false);
    let verdict = verify(&mut server, now, 1, STRONG, &phone(&challenges, "secret", 1));
    assert!(matches!(verdict, Verdict::Held { .. }), "{verdict:?}");
    let refusal = server.refusal(now, source(1), STRONG, &verdict).unwrap();
    assert_eq!((refusal.status, refusal.headers[0].0.as_str()), (480, "Retry-After"));
    // Where the phone is known to be, it is not locked out.
    server.trust(now, source(9), REALM, "alice");
    let challenges = server.challenge(now, source(9), STRONG, false);
    assert_eq!(verify(&mut server, now, 9, STRONG, &phone(&challenges, "secret", 1)), passed());
}

#[test]
fn what_was_not_asked_for_is_asked_for_again_or_refused() {
    let mut server = Authenticator::new([1; 32]);
    let challenges = server.challenge(Duration::ZERO, source(1), STRONG, false);
    let value = phone(&challenges, "secret", 1);
    let told = |server: &mut Authenticator, value: &str| verify(server, Duration::ZERO, 1, STRONG, value);
    assert_eq!(told(&mut server, &value.replace("SHA-256", "MD5")), Verdict::Absent);
    assert_eq!(told(&mut server, &value.replace("qop=auth", "qop=auth-int")), Verdict::Absent);
    assert_eq!(told(&mut server, "Basic YWxpY2U6c2VjcmV0"), Verdict::Absent);
    for (from, to) in [
        ("qop=auth, ", ""),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=00000000"),
        ("username=\"alice\"", "username=\"\""),
        ("uri=\"sip:example.org\"", "uri=\"sip:example.com\""),
        ("algorithm=SHA-256", "algorithm=SHA-1"),
    ] {
        let verdict = told(&mut server, &value.replace(from, to));
        assert!(matches!(verdict, Verdict::Malformed(_)), "{from} {to}: {verdict:?}");
        assert_eq!(server.refusal(Duration::ZERO, source(1), STRONG, &verdict).unwrap().status, 400);
    }
    assert_eq!(told(&mut server, &value), passed(), "nothing of that was held against alice");
}

#[test]
fn the_uri_may_differ_in_parameters_alone() {
    let mut server = Authenticator::new([1; 32]);
    let challenges = server.challenge(Duration::ZERO, source(1), STRONG, false);
    let ask = |uri: &str, nc| {
        answer(&challenges, &credentials(None, "alice", "secret"), "REGISTER", uri, b"", "c", nc).unwrap()
    };
    let with_parameter = ask("sip:EXAMPLE.org;transport=tcp", 1);
    assert_eq!(verify(&mut server, Duration::ZERO, 1, STRONG, &with_parameter), passed());
    for (at, uri) in ["sip:example.org:5070", "sips:example.org", "sip:x@example.org", "tel:1"].iter().enumerate() {
        let value = ask(uri, 2 + u32::try_from(at).unwrap());
        assert!(matches!(verify(&mut server, Duration::ZERO, 1, STRONG, &value), Verdict::Malformed(_)), "{uri}");
    }
}

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Md5,
    Algorithm::Md5Session,
    Algorithm::Sha256,
    Algorithm::Sha256Session,
    Algorithm::Sha512_256,
    Algorithm::Sha512_256Session,
];

proptest! {
    #[test]
    fn the_client_answers_what_a_server_asks(
        algorithm in prop::sample::select(&ALGORITHMS[..]),
        qop in prop::sample::select(&[Qop::Auth, Qop::AuthInt][..]),
        (name, password) in ("\\PC{1,20}", "\\PC{0,20}"),
        (nonce, cnonce) in ("[a-zA-Z0-9/+=]{1,40}", "[ -~]{1,40}"),
        nc in 1..=u32::MAX,
        body in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let challenge = format!(
            "Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm={}, qop=\"{}\"", algorithm.name(), qop.name()
        );
        let user = credentials(Some(REALM), &name, &password);
        let value = answer(&[challenge], &user, "REGISTER", "sip:example.org", &body, &cnonce, nc).unwrap();
        let head = format!("REGISTER sip:example.org SIP/2.0\r\nAuthorization: {value}\r\n\r\n");
        let read = |body: &[u8]| {
            let bytes = Bytes::from([head.as_bytes(), body].concat());
            Message::parse_datagram(bytes, &Limits::default()).unwrap()
        };
        prop_assert!(Authenticator::is_right(&value, &verifiers(&name, REALM, &password), &read(&body)));
        let other = verifiers(&name, REALM, &format!("{password}x"));
        prop_assert!(!Authenticator::is_right(&value, &other, &read(&body)));
        // Whether the body is protected.
        let longer = [&body[..], b"x"].concat();
        let is_right = Authenticator::is_right(&value, &verifiers(&name, REALM, &password), &read(&longer));
        prop_assert_eq!(is_right, qop == Qop::Auth);
    }

    #[test]
    fn any_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, md5 in any::<bool>()) {
        let mut server = Authenticator::new([1; 32]);
        let protection = Protection { realm: REALM, md5 };
        let mut challenges = server.challenge(Duration::ZERO, source(1), protection, false);
        let value = phone(&challenges.split_off(usize::from(md5)), "secret", 1);
        let mut flipped = value.clone().into_bytes();
        let at = at.index(flipped.len());
        flipped[at] ^= 1 << bit;
        // A letter of a keyword in the other case says the same, and so does MD5 when it is left out.
        let same = |text: &[u8]| {
            let fields = Fields::read(text)?;
            let folded = (Algorithm::read(fields.raw("algorithm")), fields.raw("qop").and_then(Qop::read));
            let exact = ["username", "realm", "nonce", "uri", "response", "nc", "cnonce"].map(|name| fields.plain(name));
            Some((folded, exact))
        };
        if let Some(request) = register(&flipped) && same(&flipped) != same(value.as_bytes()) {
            let lookup = |name: &str| (name == "alice").then(|| ((), verifiers("alice", REALM, "secret")));
            let verdict = server.verify(Duration::ZERO, source(1), protection, &request, Name::Authorization, lookup);
            prop_assert!(!matches!(verdict, Verdict::Passed { .. }), "{}", String::from_utf8_lossy(&flipped));
        }
        prop_assert_eq!(verify(&mut server, Duration::ZERO, 1, protection, &value), passed());
    }

    #[test]
    fn no_bytes_pass(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(request) = register(&[b"Digest ", &bytes[..]].concat()) {
            let mut server = Authenticator::new([1; 32]);
            let known = |_: &str| Some(((), Verifiers { md5: [0; 16], sha256: [0; 32], sha512_256: [0; 32] }));
            let verdict = server.verify(Duration::ZERO, source(1), BOTH, &request, Name::Authorization, known);
            prop_assert!(!matches!(verdict, Verdict::Passed { .. }), "chance passed");
        }
    }
}
