use proptest::prelude::*;

use super::*;

/// A zone: questions that are not in it have no records.
type Zone = BTreeMap<Question, Answer>;

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Record {
    Record::Naptr {
        order,
        preference,
        flags: "S".to_owned(),
        service: service.to_owned(),
        replacement: replacement.to_owned(),
    }
}

fn srv(priority: u16, port: u16, target: &str) -> Record {
    Record::Srv { priority, weight: 0, port, target: target.to_owned() }
}

fn addresses(addresses: &[&str]) -> Answer {
    Answer::Records(addresses.iter().map(|address| Record::Address(address.parse().unwrap())).collect())
}

fn v4(name: &str) -> Question {
    Question::V4(name.to_owned())
}

fn v6(name: &str) -> Question {
    Question::V6(name.to_owned())
}

fn everything() -> Speaks {
    let transports = vec![Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    Speaks { transports, ..Speaks::default() }
}

/// What is found, and what was asked for it.
fn find_with(uri: &str, zone: &Zone, speaks: &Speaks) -> (Result<Vec<String>, Failure>, Vec<Question>) {
    let mut search = Search::new(&Uri::read(uri.as_bytes()).unwrap(), speaks, 1);
    let mut asked = Vec::new();
    loop {
        match search.step() {
            Step::Ask(questions) => {
                assert!(!questions.is_empty());
                for question in questions {
                    let answer = zone.get(&question).cloned().unwrap_or(Answer::Records(Vec::new()));
                    search.answer(&question, answer);
                    asked.push(question);
                }
            }
            Step::Found(targets) => {
                let shown = targets.iter().map(|target| format!("{} {}", target.transport.name(), target.address));
                return (Ok(shown.collect()), asked);
            }
            Step::Failed(failure) => return (Err(failure), asked),
        }
    }
}

fn find(uri: &str, zone: &Zone) -> Result<Vec<String>, Failure> {
    find_with(uri, zone, &everything()).0
}

#[test]
fn what_names_an_address_needs_no_dns() {
    for (uri, target) in [
        ("sip:a@192.0.2.1", "UDP 192.0.2.1:5060"),
        ("sip:a@192.0.2.1:5070;transport=TCP", "TCP 192.0.2.1:5070"),
        ("sip:[2001:db8::1]", "UDP [2001:db8::1]:5060"),
        ("sips:192.0.2.1", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1;transport=tcp", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1;transport=ws", "WSS 192.0.2.1:443"),
        ("sip:192.0.2.1;transport=ws", "WS 192.0.2.1:80"),
        ("sip:a@carrier.example;maddr=192.0.2.9", "UDP 192.0.2.9:5060"),
    ] {
        let (found, asked) = find_with(uri, &Zone::new(), &everything());
        assert_eq!((found, asked.len()), (Ok(vec![target.to_owned()]), 0), "{uri}");
    }
}

#[test]
fn a_port_or_a_transport_spares_questions() {
    let zone = Zone::from([
        (v4("c.example"), addresses(&["192.0.2.1", "192.0.2.2"])),
        (v6("c.example"), addresses(&["2001:db8::1"])),
    ]);
    let (found, asked) = find_with("sip:c.example:5070", &zone, &everything());
    assert_eq!(found.unwrap(), ["UDP 192.0.2.1:5070", "UDP 192.0.2.2:5070", "UDP [2001:db8::1]:5070"]);
    assert_eq!(asked, [v4("c.example"), v6("c.example")]);
    let (found, asked) = find_with("sip:C.example;transport=tcp", &zone, &everything());
    assert_eq!(found.unwrap()[0], "TCP 192.0.2.1:5060");
    assert_eq!(asked[0], Question::Srv("_sip._tcp.c.example".to_owned()));
    let speaks = Speaks { families: vec![Family::V6], ..everything() };
    let (found, asked) = find_with("sip:c.example:5070;transport=udp", &zone, &speaks);
    assert_eq!((found.unwrap().len(), asked), (1, vec![v6("c.example")]));
}

fn carrier() -> Zone {
    let srv_name = |name: &str| Question::Srv(name.to_owned());
    Zone::from([
        (
            Question::Naptr("carrier.example".to_owned()),
            Answer::Records(vec![
                naptr(90, 1, "SIP+D2U", "_sip._udp.carrier.example."),
                naptr(50, 2, "SIP+D2T", "_sip._tcp.Carrier.example"),
                naptr(50, 1, "SIPS+D2T", "_sips._tcp.carrier.example."),
                naptr(10, 1, "E2U+sip", "ignored.example"),
            ]),
        ),
        (srv_name("_sips._tcp.carrier.example"), Answer::Records(vec![srv(10, 5_061, "one.carrier.example.")])),
        (
            srv_name("_sip._tcp.carrier.example"),
            Answer::Records(vec![srv(20, 5_062, "two.carrier.example"), srv(10, 5_060, "one.carrier.example")]),
        ),
        (v4("one.carrier.example"), addresses(&["192.0.2.1"])),
        (v4("two.carrier.example"), addresses(&["192.0.2.2"])),
        (v6("two.carrier.example"), addresses(&["2001:db8::2"])),
    ])
}

#[test]
fn naptr_and_srv_give_the_order() {
    let tried = ["TLS 192.0.2.1:5061", "TCP 192.0.2.1:5060", "TCP 192.0.2.2:5062", "TCP [2001:db8::2]:5062"];
    assert_eq!(find("sip:+1@carrier.example", &carrier()).unwrap(), tried);
    assert_eq!(find("sips:carrier.example", &carrier()).unwrap(), tried[..1], "nothing but TLS");
    let speaks = Speaks { transports: vec![Transport::Udp, Transport::Tcp], ..Speaks::default() };
    assert_eq!(find_with("sip:carrier.example", &carrier(), &speaks).0.unwrap(), tried[1..]);
}

#[test]
fn without_naptr_each_transport_is_asked_for_and_without_srv_the_name_itself() {
    let mut zone = carrier();
    zone.remove(&Question::Naptr("carrier.example".to_owned()));
    let (found, asked) = find_with("sip:carrier.example", &zone, &Speaks::default());
    assert_eq!(found.unwrap()[0], "TCP 192.0.2.1:5060");
    assert_eq!(asked.iter().filter(|question| matches!(question, Question::Srv(_))).count(), 3);
    let zone = Zone::from([(v4("plain.example"), addresses(&["192.0.2.7"]))]);
    assert_eq!(find("sip:plain.example", &zone).unwrap(), ["UDP 192.0.2.7:5060"]);
    assert_eq!(find("sips:plain.example", &zone).unwrap(), ["TLS 192.0.2.7:5061"]);
    let no_udp = Speaks { transports: vec![Transport::Tls, Transport::Tcp], ..Speaks::default() };
    assert_eq!(find_with("sip:plain.example", &zone, &no_udp).0.unwrap(), ["TLS 192.0.2.7:5061"]);
}

#[test]
fn failures_say_why() {
    let name = |name: &str| name.to_owned();
    assert!(matches!(find("tel:+1", &Zone::new()), Err(Failure::NoHost(_))));
    assert!(matches!(find("sip:a_b..c", &Zone::new()), Err(Failure::NoHost(_))));
    for uri in ["sip:a.example;transport=sctp", "sips:a.example;transport=udp"] {
        assert!(matches!(find(uri, &Zone::new()), Err(Failure::Transport(_))), "{uri}");
    }
    let udp = Speaks { transports: vec![Transport::Udp], families: vec![Family::V4] };
    for uri in ["sips:a.example", "sip:a.example;transport=tcp"] {
        assert!(matches!(find_with(uri, &Zone::new(), &udp).0, Err(Failure::Transport(_))), "{uri}");
    }
    assert!(matches!(find_with("sip:[::1]", &Zone::new(), &udp).0, Err(Failure::NoAddress(_))));
    assert_eq!(find("sip:a.example", &Zone::new()), Err(Failure::NoAddress(name("a.example"))));
    let silent = Zone::from([(v4("a.example"), Answer::Silence)]);
    assert_eq!(find("sip:a.example", &silent), Err(Failure::Unanswered(name("a.example"))));
    let denied = Zone::from([(Question::Srv(name("_sip._udp.a.example")), Answer::Records(vec![srv(0, 0, ".")]))]);
    assert_eq!(find("sip:a.example;transport=udp", &denied), Err(Failure::NotOffered(name("a.example"))));
    let error = find("sip:a.example", &silent).unwrap_err().to_string();
    assert_eq!(error, "DNS does not answer about `a.example`");
}

#[test]
fn half_an_answer_is_used() {
    let mut zone = carrier();
    zone.insert(Question::Srv("_sips._tcp.carrier.example".to_owned()), Answer::Silence);
    zone.insert(v4("two.carrier.example"), Answer::Silence);
    assert_eq!(find("sip:carrier.example", &zone).unwrap(), ["TCP 192.0.2.1:5060", "TCP [2001:db8::2]:5062"]);
}

#[test]
fn a_zone_without_measure_is_cut() {
    let many = |record: &dyn Fn(u16) -> Record| Answer::Records((0..1_000).map(record).collect());
    let mut zone = Zone::new();
    let service = |at: u16| naptr(at, 0, "SIP+D2U", &format!("_sip{at}.big.example"));
    zone.insert(Question::Naptr("big.example".to_owned()), many(&service));
    for at in 0..1_000 {
        let host = |number: u16| srv(number, 5_060, &format!("h{at}-{number}.big.example"));
        zone.insert(Question::Srv(format!("_sip{at}.big.example")), many(&host));
        let address = |number: u16| {
            Record::Address(std::net::Ipv4Addr::from([192, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]]).into())
        };
        zone.insert(v4(&format!("h0-{at}.big.example")), many(&address));
    }
    let (found, asked) = find_with("sip:big.example", &zone, &everything());
    assert!(asked.len() <= 1 + MOST_SERVICES + 2 * MOST_PLACES, "{}", asked.len());
    let found = found.unwrap();
    assert!(found.len() <= MOST_TARGETS, "{}", found.len());
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "each once");
}

#[test]
fn what_was_not_asked_changes_nothing() {
    let uri = Uri::read(b"sip:a.example:5060").unwrap();
    let mut search = Search::new(&uri, &Speaks::default(), 1);
    let before = search.step();
    search.answer(&v4("b.example"), addresses(&["192.0.2.66"]));
    assert_eq!(search.step(), before);
    search.answer(&v4("a.example"), addresses(&["192.0.2.1", "2001:db8::66"]));
    search.answer(&v4("a.example"), addresses(&["192.0.2.66"]));
    search.answer(&v6("a.example"), Answer::Silence);
    let target = Target { transport: Transport::Udp, address: "192.0.2.1:5060".parse().unwrap() };
    assert_eq!(search.step(), Step::Found(vec![target]), "an IPv6 address is no A record");
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(".".to_owned()), Just(String::new()), "[a-z_.]{1,12}", "\\PC{0,8}", Just("192.0.2.1".to_owned())]
}

fn record() -> impl Strategy<Value = Record> {
    let service = prop::sample::select(&["SIP+D2U", "sips+d2t", "SIP+D2T", "SIPS+D2W", "x"][..]);
    prop_oneof![
        (any::<u16>(), any::<u16>(), "[sSuU]?", service, name()).prop_map(
            |(order, preference, flags, service, replacement)| {
                Record::Naptr { order, preference, flags, service: service.to_owned(), replacement }
            }
        ),
        (0u16..3, any::<u16>(), any::<u16>(), name()).prop_map(|(priority, weight, port, target)| Record::Srv {
            priority,
            weight,
            port,
            target
        }),
        any::<u32>().prop_map(|bits| Record::Address(std::net::Ipv4Addr::from_bits(bits).into())),
        any::<u128>().prop_map(|bits| Record::Address(std::net::Ipv6Addr::from_bits(bits).into())),
    ]
}

proptest! {
    /// Whatever DNS says, it ends soon, and with targets that may be spoken to.
    #[test]
    fn it_always_ends(
        uri in prop::sample::select(&["sip:a.example", "sips:a.example", "sip:a.example;transport=tcp", "sip:a.example:1"][..]),
        answers in proptest::collection::vec(proptest::option::of(proptest::collection::vec(record(), 0..20)), 1..8),
        seed in any::<u64>(),
    ) {
        let uri = Uri::read(uri.as_bytes()).unwrap();
        let mut search = Search::new(&uri, &everything(), seed);
        let mut answers = answers.into_iter().cycle();
        for _ in 0..4 {
            let Step::Ask(questions) = search.step() else { break };
            prop_assert!(questions.len() <= 2 * MOST_PLACES);
            for question in questions {
                search.answer(&question, answers.next().unwrap().map_or(Answer::Silence, Answer::Records));
            }
        }
        match search.step() {
            Step::Ask(questions) => prop_assert!(false, "still asks {questions:?}"),
            Step::Found(targets) => {
                prop_assert!((1..=MOST_TARGETS).contains(&targets.len()));
                let is_secure = |target: &Target| matches!(target.transport, Transport::Tls | Transport::Wss);
                prop_assert!(uri.scheme != Scheme::Sips || targets.iter().all(is_secure));
            }
            Step::Failed(_) => {}
        }
    }
}
