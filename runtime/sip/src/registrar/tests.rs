use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::message::Limits;

const ALICE: Account<'_> = Account { user: 1, name: "alice", domain: "example.org" };
const WALL: Duration = Duration::from_secs(1_800_000_000);
const RULES: Rules = Rules { min_expires_s: 60, max_expires_s: 3_600, default_expires_s: 600, contacts_per_user: 3 };

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn registrar() -> Registrar {
    Registrar::new(Settings::default(), [1; 32])
}

fn peer(transport: Transport, connection: u64) -> Peer {
    Peer {
        transport,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "198.51.100.7:40000".parse().unwrap(),
        connection,
    }
}

fn message(call_id: &str, cseq: u32, headers: &[&str]) -> Message {
    let head = format!(
        "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\n\
         From: <sip:alice@example.org>;tag=1\r\nTo: <sip:alice@example.org>\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n"
    );
    let text = headers.iter().fold(head, |text, header| text + header + "\r\n") + "\r\n";
    Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap()
}

/// A registrar, what it was told the time is, and what was kept of its changes.
struct Scene {
    registrar: Registrar,
    now: Duration,
    peer: Peer,
    kept: BTreeMap<(UserKey, String), Binding>,
}

impl Scene {
    fn new() -> Self {
        Self { registrar: registrar(), now: Duration::ZERO, peer: peer(Transport::Udp, 0), kept: BTreeMap::new() }
    }

    fn register(&mut self, call_id: &str, cseq: u32, headers: &[&str]) -> Answered {
        let request = message(call_id, cseq, headers);
        let wall = WALL + self.now;
        let (answered, changes) = self.registrar.register(self.now, wall, &RULES, ALICE, &request, &self.peer);
        self.keep(changes);
        answered
    }

    fn keep(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Bound(binding) => {
                    self.kept.insert((binding.user, binding.contact.clone()), *binding);
                }
                Change::Unbound { user, contact, .. } => {
                    assert!(self.kept.remove(&(user, contact.clone())).is_some(), "{contact} was not kept");
                }
            }
        }
    }

    fn contacts(&self) -> Vec<&str> {
        self.registrar.contacts(1, self.now).into_iter().map(|binding| binding.contact.as_str()).collect()
    }
}

fn all<'a>(answered: &'a Answered, name: &str) -> Vec<&'a str> {
    answered.headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn contacts_are_bound_refreshed_listed_and_removed() {
    let mut scene = Scene::new();
    let answered =
        scene.register("c", 1, &["Contact: <sip:alice@10.0.0.2:5070>;q=0.5, <sip:alice@10.0.0.3>;expires=120"]);
    assert_eq!(answered.status, 200);
    assert_eq!(
        all(&answered, "Contact"),
        ["<sip:alice@10.0.0.2:5070>;expires=600;q=0.500", "<sip:alice@10.0.0.3>;expires=120"]
    );
    assert_eq!(all(&answered, "Date"), ["Fri, 15 Jan 2027 08:00:00 GMT"]);
    assert_eq!(scene.contacts(), ["sip:alice@10.0.0.3", "sip:alice@10.0.0.2:5070"], "by q");
    scene.now = seconds(100);
    // The same URI by the rules, though not by its letters.
    scene.register("c", 2, &["Contact: <sip:%61lice@10.0.0.3>", "Expires: 300"]);
    let listed = scene.register("c", 3, &[]);
    assert_eq!(
        all(&listed, "Contact"),
        ["<sip:alice@10.0.0.2:5070>;expires=500;q=0.500", "<sip:%61lice@10.0.0.3>;expires=300"]
    );
    assert_eq!(scene.kept.len(), 2, "{:?}", scene.kept.keys());
    scene.register("c", 4, &["Contact: <sip:alice@10.0.0.2:5070>", "Expires: 0"]);
    assert_eq!(scene.contacts(), ["sip:%61lice@10.0.0.3"]);
    let cleared = scene.register("other", 1, &["m: *", "Expires: 0"]);
    assert_eq!((cleared.status, all(&cleared, "Contact").len()), (200, 0));
    assert_eq!((scene.registrar.counts(), scene.kept.len()), ((0, 0), 0));
    assert_eq!(scene.registrar.next_deadline(), None);
}

#[test]
fn expiry_is_within_bounds() {
    let mut scene = Scene::new();
    for (cseq, headers, granted) in [
        (1, vec!["Contact: <sip:a@b>"], "600"),
        (2, vec!["Contact: <sip:a@b>;expires=4294967295"], "3600"),
        (3, vec!["Contact: <sip:a@b>;expires=60"], "60"),
        (4, vec!["Contact: <sip:a@b>;expires=90", "Expires: 300"], "90"),
        (5, vec!["Contact: <sip:a@b>", "Expires: 300"], "300"),
        (6, vec!["Contact: <sip:a@b>;expires=soon"], "600"),
        (7, vec!["Contact: <sip:a@b>", "Expires: soon"], "600"),
        (8, vec!["Contact: <sip:a@b>;expires=99999999999999"], "600"),
    ] {
        let answered = scene.register("c", cseq, &headers);
        assert_eq!(all(&answered, "Contact"), [format!("<sip:a@b>;expires={granted}")], "{headers:?}");
    }
    let brief = scene.register("c", 9, &["Contact: <sip:new@b>, <sip:a@b>;expires=59"]);
    assert_eq!((brief.status, all(&brief, "Min-Expires")), (423, vec!["60"]));
    assert_eq!(scene.contacts(), ["sip:a@b"], "all or nothing");
    assert_eq!(scene.registrar.next_deadline(), Some(seconds(600)));
    let changes = scene.registrar.expire(seconds(599));
    assert!(changes.is_empty());
    let changes = scene.registrar.expire(seconds(600));
    assert_eq!(changes, [Change::Unbound { user: 1, contact: "sip:a@b".to_owned(), why: "expired" }]);
    assert_eq!(scene.registrar.counts(), (0, 0));
}

#[test]
fn what_stands_no_longer_is_neither_listed_nor_called() {
    let mut scene = Scene::new();
    scene.register("c", 1, &["Contact: <sip:a@b>;expires=60"]);
    scene.now = seconds(60);
    assert!(scene.contacts().is_empty());
    let listed = scene.register("c", 2, &[]);
    assert!(all(&listed, "Contact").is_empty());
    assert!(scene.kept.is_empty());
}

#[test]
fn an_old_request_changes_nothing() {
    let mut scene = Scene::new();
    scene.register("c", 5, &["Contact: <sip:a@b>"]);
    for (cseq, headers) in [
        (5, vec!["Contact: <sip:a@b>;expires=0"]),
        (4, vec!["Contact: <sip:new@b>, <sip:a@b>"]),
        (4, vec!["Contact: *", "Expires: 0"]),
    ] {
        assert_eq!(scene.register("c", cseq, &headers).status, 500, "{headers:?}");
        assert_eq!(scene.contacts(), ["sip:a@b"]);
    }
    // Another client of the same user counts by itself.
    assert_eq!(scene.register("other", 1, &["Contact: <sip:a@b>;expires=0"]).status, 200);
    assert!(scene.contacts().is_empty());
}

#[test]
fn a_star_stands_alone_with_expires_0() {
    for headers in [
        vec!["Contact: *"],
        vec!["Contact: *", "Expires: 10"],
        vec!["Contact: *, <sip:a@b>", "Expires: 0"],
        vec!["Contact: *", "Contact: *", "Expires: 0"],
    ] {
        assert_eq!(Scene::new().register("c", 1, &headers).status, 400, "{headers:?}");
    }
}

#[test]
fn what_could_not_be_called_is_not_bound() {
    for contact in ["mailto:a@b", "tel:+1", "sip:a@b?x=y", "sip:alice@example.org", "SIP:%61lice@EXAMPLE.org"] {
        let answered = Scene::new().register("c", 1, &[&format!("Contact: <{contact}>")]);
        assert_eq!(answered.status, 400, "{contact}");
    }
    let long = format!("Contact: <sip:{}@b>", "a".repeat(600));
    assert_eq!(Scene::new().register("c", 1, &[&long]).status, 400);
}

#[test]
fn nobody_registers_for_somebody_else() {
    let request = message("c", 1, &["Contact: <sip:a@b>"]);
    for (name, domain) in [("bob", "example.org"), ("alice", "example.com"), ("Alice", "example.org")] {
        let account = Account { user: 2, name, domain };
        let (answered, changes) =
            registrar().register(Duration::ZERO, WALL, &RULES, account, &request, &peer(Transport::Udp, 0));
        assert_eq!((answered.status, changes.len()), (403, 0), "{name}@{domain}");
    }
}

#[test]
fn a_user_has_so_many_contacts_and_a_node_too() {
    let mut scene = Scene::new();
    scene.register("c", 1, &["Contact: <sip:1@b>, <sip:2@b>, <sip:3@b>"]);
    assert_eq!(
        scene.register("c", 2, &["Contact: <sip:4@b>"]).status,
        403,
        "contacts_per_user is {}",
        RULES.contacts_per_user
    );
    assert_eq!(scene.register("c", 3, &["Contact: <sip:4@b>, <sip:1@b>;expires=0"]).status, 200, "one for another");
    scene.registrar.settings.most_bindings = 3;
    let bob = Account { user: 2, ..ALICE };
    let request = message("c", 1, &["Contact: <sip:5@b>"]);
    let (full, _) = scene.registrar.register(scene.now, WALL, &RULES, bob, &request, &scene.peer);
    assert_eq!((full.status, all(&full, "Retry-After").len()), (503, 1));
    assert_eq!(scene.register("c", 4, &["Contact: <sip:2@b>"]).status, 200, "who is there stays");
}

#[test]
fn qualities_are_read() {
    for (q, expected) in [
        ("1", 1_000),
        ("1.0", 1_000),
        ("0", 0),
        ("0.123", 123),
        (".5", 500),
        ("0.", 0),
        ("1.5", 1_000),
        ("x", 1_000),
        ("0.1234", 1_000),
    ] {
        let mut scene = Scene::new();
        scene.register("c", 1, &[&format!("Contact: <sip:a@b>;q={q}")]);
        assert_eq!(scene.registrar.contacts(1, scene.now)[0].q_permille, expected, "{q}");
    }
}

#[test]
fn requirements_are_met_or_refused() {
    let refused = Scene::new().register("c", 1, &["Require: path, x-magic, gruu, y", "Contact: <sip:a@b>"]);
    assert_eq!((refused.status, all(&refused, "Unsupported")), (420, vec!["x-magic, y"]));
    let over_udp = Scene::new().register("c", 1, &["Require: outbound", "Contact: <sip:a@b>"]);
    assert_eq!((over_udp.status, all(&over_udp, "Unsupported")), (420, vec!["outbound"]));
}

#[test]
fn a_path_is_kept_and_shown_to_phones_that_know_it() {
    let paths = ["Path: <sip:one.example;lr>, <sip:two.example;lr>", "PATH: <sip:three.example;lr>"];
    let mut scene = Scene::new();
    let answered = scene.register("c", 1, &[paths[0], paths[1], "k: path", "Contact: <sip:a@b>"]);
    let expected = ["<sip:one.example;lr>", "<sip:two.example;lr>", "<sip:three.example;lr>"];
    assert_eq!(all(&answered, "Path"), expected);
    assert_eq!(scene.registrar.contacts(1, scene.now)[0].path, expected);
    let answered = scene.register("c", 2, &[paths[0], "Contact: <sip:a@b>"]);
    assert!(all(&answered, "Path").is_empty());
    assert_eq!(scene.registrar.contacts(1, scene.now)[0].path, expected[..2]);
    assert_eq!(scene.register("c", 3, &["Path: nowhere", "Contact: <sip:a@b>"]).status, 400);
    let many = ["Path: <sip:p.example;lr>"; 9];
    assert_eq!(scene.register("c", 4, &[&many[..], &["Contact: <sip:a@b>"]].concat()).status, 400);
}

const FLOW_1: &str = "Contact: <sip:x1@a.invalid;transport=ws>;reg-id=1;+sip.instance=\"<urn:uuid:0-1>\"";
const FLOW_2: &str = "Contact: <sip:x2@a.invalid;transport=ws>;reg-id=2;+sip.instance=\"<urn:uuid:0-1>\"";
const FLOW_1_AGAIN: &str = "Contact: <sip:x3@a.invalid;transport=ws>;reg-id=1;+sip.instance=\"<urn:uuid:0-1>\"";

#[test]
fn flows_of_one_phone_replace_themselves_and_stand_beside_each_other() {
    let mut scene = Scene::new();
    scene.peer = peer(Transport::Wss, 11);
    let answered = scene.register("c", 1, &[FLOW_1, "Supported: path, outbound"]);
    assert_eq!((all(&answered, "Require"), all(&answered, "Flow-Timer")), (vec!["outbound"], vec!["120"]));
    assert!(all(&answered, "Contact")[0].ends_with(";+sip.instance=\"<urn:uuid:0-1>\";reg-id=1"), "{answered:?}");
    scene.peer = peer(Transport::Wss, 12);
    scene.now = seconds(1);
    scene.register("d", 1, &[FLOW_2, "Supported: outbound"]);
    assert_eq!(scene.registrar.flows_of(1, scene.now).len(), 2);
    assert_eq!(scene.contacts(), ["sip:x2@a.invalid;transport=ws"], "it is one phone");
    // The page was loaded again: another connection, another contact, another Call-ID.
    scene.peer = peer(Transport::Wss, 13);
    scene.now = seconds(2);
    scene.register("e", 1, &[FLOW_1_AGAIN, "Supported: outbound"]);
    let flows: Vec<_> = scene.registrar.flows_of(1, scene.now).iter().map(|binding| binding.flow).collect();
    assert_eq!(flows, [Some(13), Some(12)]);
    assert_eq!(scene.kept.len(), 2);
    assert!(scene.registrar.unbind_flow(11).is_empty(), "nothing leads over it any more");
    let changes = scene.registrar.unbind_flow(13);
    assert_eq!(
        changes,
        [Change::Unbound { user: 1, contact: "sip:x3@a.invalid;transport=ws".to_owned(), why: FLOW_LOST }]
    );
    assert_eq!(scene.contacts(), ["sip:x2@a.invalid;transport=ws"], "the other flow is left");
}

#[test]
fn a_flow_is_kept_only_where_everybody_on_the_way_keeps_it() {
    let supported = "Supported: outbound, path";
    let outbound = |scene: &mut Scene, headers: &[&str]| {
        let answered = scene.register("c", 1, headers);
        let reg_id = scene.registrar.contacts(1, scene.now).first().and_then(|binding| binding.reg_id);
        (answered.status, all(&answered, "Require").len(), all(&answered, "Flow-Timer").len(), reg_id)
    };
    // Directly over UDP, and of phones that do not ask.
    assert_eq!(outbound(&mut Scene::new(), &[FLOW_1, supported]), (200, 0, 0, None));
    let mut over_tcp = Scene::new();
    over_tcp.peer = peer(Transport::Tcp, 1);
    assert_eq!(outbound(&mut over_tcp, &[FLOW_1]), (200, 0, 0, None));
    // Through a proxy that does, and one that does not.
    let via = "Via: SIP/2.0/UDP proxy.example;branch=z9hG4bK2";
    let path = "Path: <sip:core.example;lr>, <sip:edge.example;lr;ob>";
    assert_eq!(outbound(&mut Scene::new(), &[FLOW_1, supported, via, path]), (200, 1, 0, Some(1)));
    assert_eq!(outbound(&mut Scene::new(), &[FLOW_1, supported, via]).0, 439);
    let wrong_way = "Path: <sip:core.example;lr;ob>, <sip:edge.example;lr>";
    assert_eq!(outbound(&mut Scene::new(), &[FLOW_1, supported, via, wrong_way]).0, 439);
    let plain = "Contact: <sip:a@b>";
    assert_eq!(outbound(&mut Scene::new(), &[plain, supported, via]), (200, 0, 0, None));
    over_tcp = Scene::new();
    over_tcp.peer = peer(Transport::Tcp, 1);
    assert_eq!(outbound(&mut over_tcp, &[FLOW_1, FLOW_2, supported]).0, 400);
    let no_instance = "Contact: <sip:a@b>;reg-id=1";
    assert_eq!(outbound(&mut over_tcp, &[no_instance, supported]), (200, 0, 0, None));
}

#[test]
fn a_lost_connection_leaves_what_can_be_called_up() {
    let mut scene = Scene::new();
    scene.peer = peer(Transport::Tcp, 5);
    scene.register("c", 1, &["Contact: <sip:a@198.51.100.7;transport=tcp>"]);
    assert_eq!(scene.registrar.contacts(1, scene.now)[0].flow, Some(5));
    assert!(scene.registrar.unbind_flow(5).is_empty());
    assert_eq!(scene.registrar.contacts(1, scene.now)[0].flow, None);
    scene.peer = peer(Transport::Ws, 6);
    scene.register("c", 2, &["Contact: <sip:a@x.invalid;transport=ws>"]);
    assert!(scene.registrar.has_flow(6) && !scene.registrar.has_flow(5));
    assert_eq!(scene.registrar.users_of_flow(6), [1]);
    let changes = scene.registrar.unbind_flow(6);
    assert!(changes.iter().all(|change| change.user() == 1));
    scene.keep(changes);
    assert!(!scene.registrar.has_flow(6));
    assert_eq!(scene.contacts(), ["sip:a@198.51.100.7;transport=tcp"]);
    scene.register("c", 3, &["Contact: <sip:b@198.51.100.7>"]);
    let changes = scene.registrar.unbind_contact(1, "sip:a@198.51.100.7;transport=tcp");
    scene.keep(changes);
    assert_eq!(scene.contacts(), ["sip:b@198.51.100.7"]);
    assert!(scene.registrar.unbind_contact(1, "sip:nobody@b").is_empty());
    let changes = scene.registrar.unbind_user(1);
    scene.keep(changes);
    assert_eq!((scene.registrar.counts(), scene.kept.len(), scene.registrar.flows.len()), ((0, 0), 0, 0));
}

#[test]
fn a_phone_behind_a_nat_is_reached_where_it_came_from() {
    for (transport, contact, reach) in [
        (Transport::Udp, "sip:a@10.0.0.2:5070", "198.51.100.7:40000"),
        (Transport::Udp, "sip:a@198.51.100.7:5070", "198.51.100.7:5070"),
        (Transport::Udp, "sip:a@198.51.100.7", "198.51.100.7:5060"),
        (Transport::Udp, "sip:a@127.0.0.1:6379", "198.51.100.7:40000"),
        (Transport::Udp, "sip:a@inner.example", "198.51.100.7:40000"),
        (Transport::Tcp, "sip:a@198.51.100.7:5070", "198.51.100.7:40000"),
    ] {
        let mut scene = Scene::new();
        scene.peer = peer(transport, 1);
        scene.register("c", 1, &[&format!("Contact: <{contact}>")]);
        assert_eq!(scene.registrar.contacts(1, scene.now)[0].reach(), reach.parse().unwrap(), "{contact}");
    }
}

#[test]
fn gruus_reach_one_phone() {
    let uri = |text: &str| Uri::read(text.as_bytes()).unwrap();
    let contact = "Contact: <sip:a@10.0.0.2>;+sip.instance=\"<urn:uuid:f81d4fae-7dec>\", <sip:other@b>";
    let mut scene = Scene::new();
    let answered = scene.register("c", 1, &[contact]);
    assert!(!format!("{answered:?}").contains("pub-gruu"), "not asked for");
    let mut temporary = Vec::new();
    for cseq in 2..4 {
        let answered = scene.register("c", cseq, &[contact, "Supported: gruu"]);
        let value = crate::Address::read(all(&answered, "Contact")[0].as_bytes()).unwrap();
        let public = value.params.get("pub-gruu").unwrap();
        assert_eq!(public, "sip:alice@example.org;gr=urn:uuid:f81d4fae-7dec");
        temporary.push(value.params.get("temp-gruu").unwrap());
        let found = scene.registrar.by_gruu(Some(1), &uri(&public), scene.now).unwrap();
        assert_eq!(found.iter().map(|binding| binding.contact.as_str()).collect::<Vec<_>>(), ["sip:a@10.0.0.2"]);
        assert_eq!(scene.registrar.by_gruu(Some(2), &uri(&public), scene.now), Some(vec![]));
    }
    assert_ne!(temporary[0], temporary[1], "nobody can tell that they are one phone's");
    assert!(!temporary[0].contains("alice"));
    for one in &temporary {
        assert_eq!(scene.registrar.by_gruu(None, &uri(one), scene.now).unwrap().len(), 1, "{one}");
    }
    let forged = temporary[0].replacen('0', "1", 1);
    assert_eq!(scene.registrar.by_gruu(None, &uri(&forged), scene.now), None);
    assert_eq!(scene.registrar.by_gruu(None, &uri("sip:alice@example.org"), scene.now), None);
    assert_eq!(scene.registrar.by_gruu(None, &uri("sip:tgruu.xy@example.org;gr"), scene.now), None);
    // RFC 5627 3.1: with another Call-ID the old ones are over.
    scene.register("d", 1, &[contact, "Supported: gruu"]);
    assert_eq!(scene.registrar.by_gruu(None, &uri(&temporary[1]), scene.now), Some(vec![]));
}

#[test]
fn what_was_kept_is_restored() {
    let mut scene = Scene::new();
    scene.register("c", 1, &["Contact: <sip:a@10.0.0.2>;q=0.3, <sip:b@10.0.0.3>;expires=120"]);
    scene.peer = peer(Transport::Wss, 3);
    scene.register("c", 2, &["Contact: <sip:c@x.invalid;transport=ws>"]);
    let mut again = registrar();
    let later = seconds(200);
    let changes = again.restore(Duration::ZERO, WALL + later, scene.kept.values().cloned().collect());
    scene.keep(changes);
    assert_eq!(scene.kept.len(), 1);
    let contacts = again.contacts(1, Duration::ZERO);
    assert_eq!((contacts.len(), contacts[0].contact.as_str(), contacts[0].q_permille), (1, "sip:a@10.0.0.2", 300));
    assert_eq!(again.next_deadline(), Some(seconds(400)));
    // Counts go on from where they were.
    let (old, _) = again.register(
        Duration::ZERO,
        WALL,
        &RULES,
        ALICE,
        &message("c", 1, &["Contact: <sip:a@10.0.0.2>"]),
        &scene.peer,
    );
    assert_eq!(old.status, 500);
}

#[test]
fn a_domain_may_be_an_address() {
    for (host, domain) in
        [("192.0.2.1", "192.0.2.1"), ("[2001:db8::1]", "2001:db8::1"), ("[2001:DB8:0::1]", "[2001:db8::1]")]
    {
        let text = format!(
            "REGISTER sip:{host} SIP/2.0\r\nTo: <sip:alice@{host}>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\
             Supported: gruu\r\nContact: <sip:alice@{host}:5070>;+sip.instance=\"<urn:x:1>\"\r\n\r\n"
        );
        let request = Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap();
        let account = Account { domain, ..ALICE };
        let mut registrar = registrar();
        let (answered, _) =
            registrar.register(Duration::ZERO, WALL, &RULES, account, &request, &peer(Transport::Udp, 0));
        assert_eq!(answered.status, 200, "{host}");
        let value = crate::Address::read(all(&answered, "Contact")[0].as_bytes()).unwrap();
        for name in ["pub-gruu", "temp-gruu"] {
            let gruu = Uri::read(value.params.get(name).unwrap().as_bytes()).unwrap();
            assert_eq!(registrar.by_gruu(Some(1), &gruu, Duration::ZERO).unwrap().len(), 1, "{gruu}");
        }
    }
}

const CONTACTS: &[&str] = &[
    "<sip:a@10.0.0.2>",
    "<sip:a@10.0.0.2>;expires=0",
    "<sip:%61@10.0.0.2>;q=0.2",
    "<sip:b@10.0.0.3>;expires=60",
    "<sip:b@10.0.0.3>;expires=1",
    "<sip:c@x.invalid>;reg-id=1;+sip.instance=\"<urn:x:1>\"",
    "<sip:c@x.invalid>;reg-id=2;+sip.instance=\"<urn:x:1>\"",
    "<sip:d@x.invalid>;reg-id=1;+sip.instance=\"<urn:x:1>\"",
    "<sip:d@x.invalid>;reg-id=1;+sip.instance=\"<urn:x:1>\";expires=0",
    "*",
    "nothing",
];

#[derive(Clone, Debug)]
enum Act {
    Register { user: u8, call: u8, cseq: u8, contacts: Vec<&'static str>, expires: Option<u8>, over: u8 },
    Wait(u16),
    Lose(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let contacts = proptest::collection::vec(prop::sample::select(CONTACTS), 0..3);
    let register = (0u8..3, 0u8..2, 0u8..20, contacts, proptest::option::of(0u8..200), 0u8..4).prop_map(
        |(user, call, cseq, contacts, expires, over)| Act::Register { user, call, cseq, contacts, expires, over },
    );
    prop_oneof![6 => register, 2 => (0u16..400).prop_map(Act::Wait), 1 => (1u8..4).prop_map(Act::Lose)]
}

proptest! {
    #[test]
    fn any_name_and_instance_has_a_gruu(name in "\\PC{1,20}", urn in "[!#-;=?-\\[\\]-~]{1,30}") {
        let account = Account { name: &name, ..ALICE };
        let text = gruu::public(account, &urn);
        let uri = Uri::read(text.as_bytes()).unwrap();
        prop_assert_eq!(uri.plain_user(), Some(name.clone()));
        prop_assert_eq!(uri.params.get("gr"), Some(gruu::escape(&urn)));
        let in_header = format!("<sip:a@b>;pub-gruu=\"{text}\";expires=1");
        let address = crate::Address::read(in_header.as_bytes()).unwrap();
        prop_assert_eq!(address.params.get("pub-gruu"), Some(text));
    }

    /// What is kept by the changes is what stands, whatever happens; a refusal changes nothing;
    /// nothing is left behind in the end.
    #[test]
    fn changes_tell_the_whole_story(acts in proptest::collection::vec(act(), 0..60)) {
        let mut scene = Scene::new();
        for act in acts {
            match act {
                Act::Wait(seconds) => {
                    scene.now += Duration::from_secs(seconds.into());
                    let changes = scene.registrar.expire(scene.now);
                    scene.keep(changes);
                }
                Act::Lose(connection) => {
                    let changes = scene.registrar.unbind_flow(connection.into());
                    scene.keep(changes);
                }
                Act::Register { user, call, cseq, contacts, expires, over } => {
                    let transport = if over == 0 { Transport::Udp } else { Transport::Tcp };
                    let peer = peer(transport, over.into());
                    let contacts: Vec<_> = contacts.iter().map(|contact| format!("Contact: {contact}")).collect();
                    let expires = expires.map(|seconds| format!("Expires: {seconds}"));
                    let mut headers: Vec<_> = contacts.iter().chain(&expires).map(String::as_str).collect();
                    headers.push("Supported: outbound, gruu, path");
                    let request = message(&format!("c{call}"), cseq.into(), &headers);
                    let account = Account { user: user.into(), ..ALICE };
                    let wall = WALL + scene.now;
                    let before = scene.registrar.users.get(&account.user).cloned();
                    let (answered, changes) =
                        scene.registrar.register(scene.now, wall, &RULES, account, &request, &peer);
                    if answered.status != 200 {
                        prop_assert!(changes.is_empty());
                        prop_assert_eq!(scene.registrar.users.get(&account.user).cloned(), before);
                    }
                    scene.keep(changes);
                }
            }
            let standing: Vec<_> = scene.registrar.users.iter().flat_map(|(user, entries)| {
                entries.iter().map(|entry| (*user, entry.binding.contact.clone()))
            }).collect();
            let distinct: BTreeSet<_> = standing.iter().cloned().collect();
            prop_assert_eq!(distinct, scene.kept.keys().cloned().collect::<BTreeSet<_>>());
            prop_assert_eq!(scene.registrar.counts().1, standing.len());
            prop_assert!(scene.registrar.users.values().all(|entries| entries.len() <= 3));
            prop_assert_eq!(scene.registrar.next_deadline().is_some(), !standing.is_empty());
        }
        scene.registrar.expire(scene.now + seconds(3_600));
        prop_assert_eq!(scene.registrar.counts(), (0, 0));
        prop_assert!(scene.registrar.due.is_empty() && scene.registrar.flows.is_empty());
    }
}
