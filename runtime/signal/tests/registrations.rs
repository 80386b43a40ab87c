//! Phones that register, by hand: over UDP, TCP and WebSocket, and calls to where they are.

mod support;

use std::sync::Arc;
use std::time::Duration;

use callbox_model::{LegCommand, LegEvent, Origin, UserId, Way};
use callbox_signal::{Contact, Registered, Transport};
use support::phone::{Line, TO, Tcp, Udp, Ws, answer, header, headers, message, register, status};
use support::{Answers, Door, Node, Outcome, eventually, listen, open, to};

const DOMAIN: &str = "pbx.example";

struct Office {
    node: Node,
    alice: UserId,
}

fn office(answers: Answers) -> Office {
    let door = Arc::<Door>::default();
    door.domain(DOMAIN, true);
    let alice = door.user(DOMAIN, "alice", "secret", 1);
    let mut config = support::plain();
    config.listen.push(listen(Transport::Ws, "127.0.0.1:0"));
    Office { node: Node::start(config, answers, door, Vec::new()), alice }
}

impl Office {
    fn contacts(&self) -> Vec<Contact> {
        self.node.handle.contacts(self.alice)
    }

    fn to(&self, contact: &Contact) -> Way {
        Way {
            flow: contact.flow,
            routes: contact.registration.path.clone(),
            ..to(contact.registration.contact.clone())
        }
    }
}

/// A phone answers the call that comes, and hears it end.
fn answers_a_call(phone: &mut impl Line, node: &Node, way: Way) {
    let leg = node.dial(way);
    let invite = phone.until(|text| text.starts_with("INVITE ")).expect("no INVITE");
    let (me, kind) = (phone.me(), phone.kind().to_ascii_lowercase());
    phone.say(&answer(&invite, "200 OK", &me, &kind, "their answer"));
    assert!(phone.until(|text| text.starts_with("ACK ")).is_some(), "no ACK");
    assert_eq!(node.outcome(leg), Outcome::Answered(Some(b"their answer".to_vec())));
    node.handle.send(leg, LegCommand::Hangup { ask: 9, reason: None });
    let bye = phone.until(|text| text.starts_with("BYE ")).expect("no BYE");
    phone.say(&answer(&bye, "200 OK", &me, &kind, ""));
    assert!(node.wait(|other, event| (*other == leg && matches!(event, LegEvent::Ended(_))).then_some(())).is_some());
}

#[test]
fn phones_register_over_each_transport_and_are_called_there() {
    for algorithm in ["SHA-256", "MD5"] {
        let office = office(Answers::Never);
        let node = &office.node;
        let (udp, tcp, ws) = (node.at(Transport::Udp), node.at(Transport::Tcp), node.at(Transport::Ws));

        let mut phone = Udp::new(udp);
        let ok = register(&mut phone, DOMAIN, "alice", "secret", algorithm, 600, 1);
        assert_eq!(status(&ok), 200, "{ok}");
        assert!(header(&ok, "Contact").contains(";expires=600"), "{ok}");
        let contacts = office.contacts();
        assert_eq!(contacts.len(), 1);
        assert_eq!((contacts[0].registration.transport.as_str(), contacts[0].registration.remote), ("UDP", phone.me));
        answers_a_call(&mut phone, node, office.to(&contacts[0]));
        assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", algorithm, 0, 3)), 200);
        assert_eq!(office.contacts(), []);

        let mut phone = Tcp::new(tcp);
        assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", algorithm, 600, 1)), 200);
        let contacts = office.contacts();
        assert!(contacts.len() == 1 && contacts[0].flow.is_some(), "{contacts:?}");
        answers_a_call(&mut phone, node, office.to(&contacts[0]));
        assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", algorithm, 0, 3)), 200);

        // Nobody can call up a browser: its name leads nowhere, and its flow does.
        let mut phone = Ws::new(ws);
        assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", algorithm, 600, 1)), 200);
        let contacts = office.contacts();
        assert!(contacts[0].registration.contact.contains(".invalid"), "{contacts:?}");
        answers_a_call(&mut phone, node, office.to(&contacts[0]));
        // Its connection goes, and with it the contact.
        drop(phone);
        eventually(|| office.contacts().is_empty().then_some(()));
        let registered = node.door.registered.lock().unwrap();
        let last = registered.last().unwrap();
        assert!(matches!(last, Registered::Unbound { user, .. } if *user == office.alice), "{last:?}");
    }
}

#[test]
fn whoever_is_unknown_and_whoever_errs_hear_the_same() {
    let office = office(Answers::Never);
    let at = office.node.at(Transport::Udp);
    let of = |name: &str, password: &str| {
        let mut phone = Udp::new(at);
        let text = register(&mut phone, DOMAIN, name, password, "SHA-256", 600, 1);
        let challenges = headers(&text, "WWW-Authenticate").len();
        let names: Vec<_> = text.lines().filter_map(|line| line.split(':').next()).map(str::to_owned).collect();
        (status(&text), challenges, names)
    };
    let wrong = of("alice", "guess");
    assert_eq!((wrong.0, wrong.1), (401, 2));
    assert_eq!(of("nobody", "guess"), wrong);
    assert_eq!(office.contacts(), []);
    let mut phone = Udp::new(at);
    assert_eq!(status(&register(&mut phone, "other.example", "alice", "secret", "SHA-256", 600, 1)), 404);
}

#[test]
fn guesses_are_held_up() {
    let office = office(Answers::Never);
    let mut phone = Udp::new(office.node.at(Transport::Udp));
    let mut last = 0;
    for guess in 0..50 {
        last = status(&register(&mut phone, DOMAIN, "alice", &format!("guess{guess}"), "SHA-256", 600, 1 + 2 * guess));
        if last == 480 {
            break;
        }
    }
    assert_eq!(last, 480, "it went on guessing");
    // The right one is not looked at either, and nobody learns that it was right.
    assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", "SHA-256", 600, 501)), 480);
}

#[test]
fn a_restart_brings_registrations_back() {
    let mut office = office(Answers::Never);
    let (mut udp, mut ws) = (Udp::new(office.node.at(Transport::Udp)), Ws::new(office.node.at(Transport::Ws)));
    assert_eq!(status(&register(&mut udp, DOMAIN, "alice", "secret", "SHA-256", 600, 1)), 200);
    assert_eq!(status(&register(&mut ws, DOMAIN, "alice", "secret", "SHA-256", 600, 1)), 200);
    assert_eq!(office.contacts().len(), 2);
    let kept: Vec<_> = {
        let registered = office.node.door.registered.lock().unwrap();
        registered
            .iter()
            .filter_map(|change| match change {
                Registered::Bound(registration) => Some(registration.clone()),
                Registered::Unbound { .. } => None,
            })
            .collect()
    };
    let mut config = support::plain();
    config.listen = vec![listen(Transport::Udp, &office.node.at(Transport::Udp).to_string())];
    office.node.stop();

    let door = office.node.door.clone();
    door.registered.lock().unwrap().clear();
    let again = Node::start(config, Answers::Never, door.clone(), kept);
    let contacts = again.handle.contacts(office.alice);
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    assert_eq!(contacts[0].registration.transport, "UDP");
    // The browser's connection is gone for good, and whoever keeps the list is told.
    let told = door.registered.lock().unwrap().clone();
    assert!(matches!(&told[..], [Registered::Unbound { why: "its connection is gone", .. }]), "{told:?}");
    let way = Way { flow: contacts[0].flow, ..to(contacts[0].registration.contact.clone()) };
    answers_a_call(&mut udp, &again, way);
}

#[test]
fn an_operator_takes_contacts_away() {
    let office = office(Answers::Never);
    let mut phones = [Udp::new(office.node.at(Transport::Udp)), Udp::new(office.node.at(Transport::Udp))];
    for phone in &mut phones {
        assert_eq!(status(&register(phone, DOMAIN, "alice", "secret", "SHA-256", 600, 1)), 200);
    }
    let one = office.contacts()[0].registration.contact.clone();
    office.node.handle.unbind(office.alice, Some(one.clone()));
    eventually(|| (office.contacts().len() == 1).then_some(()));
    assert_ne!(office.contacts()[0].registration.contact, one);
    office.node.handle.unbind(office.alice, None);
    eventually(|| office.contacts().is_empty().then_some(()));
    let told = office.node.door.registered.lock().unwrap().clone();
    let gone = told.iter().filter(|change| matches!(change, Registered::Unbound { why: "removed", .. })).count();
    assert_eq!(gone, 2, "{told:?}");
}

#[test]
fn a_contact_ends_when_its_time_is_over() {
    let office = office(Answers::Never);
    let mut config = support::plain();
    config.registered_least = Duration::from_secs(1);
    let node = Node::start(config, Answers::Never, office.node.door.clone(), Vec::new());
    let mut phone = Udp::new(node.at(Transport::Udp));
    assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", "SHA-256", 1, 1)), 200);
    assert_eq!(node.handle.contacts(office.alice).len(), 1);
    eventually(|| node.handle.contacts(office.alice).is_empty().then_some(()));
    let told = node.door.registered.lock().unwrap().clone();
    assert!(matches!(told.last(), Some(Registered::Unbound { why: "expired", .. })), "{told:?}");
}

/// A phone that is registered says nothing for hours.
#[test]
fn a_flow_is_kept_open_while_it_is_registered() {
    let office = office(Answers::Never);
    let mut config = support::plain();
    config.idle = Duration::from_millis(300);
    let node = Node::start(config, Answers::Never, office.node.door.clone(), Vec::new());
    let mut phone = Tcp::new(node.at(Transport::Tcp));
    assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", "SHA-256", 600, 1)), 200);
    std::thread::sleep(Duration::from_millis(1_500));
    let contacts = node.handle.contacts(office.alice);
    answers_a_call(&mut phone, &node, office.to(&contacts[0]));
    assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", "SHA-256", 0, 3)), 200);
    assert_eq!(phone.hear(), None, "it serves nothing any more, and stays open");
}

/// Over TCP a phone may be called up: its contact stays when its connection goes, without it.
#[test]
fn a_lost_connection_is_no_flow() {
    let office = office(Answers::Never);
    let mut phone = Tcp::new(office.node.at(Transport::Tcp));
    assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", "SHA-256", 600, 1)), 200);
    assert!(office.contacts()[0].flow.is_some());
    drop(phone);
    eventually(|| (office.contacts().len() == 1 && office.contacts()[0].flow.is_none()).then_some(()));
}

/// A flow leads nowhere but to the phone; a contact over UDP may name no socket of ours.
#[test]
fn a_contact_cannot_aim_at_the_node() {
    let office = office(Answers::Never);
    let mut phone = Udp::new(office.node.at(Transport::Udp));
    assert_eq!(status(&register(&mut phone, DOMAIN, "alice", "secret", "SHA-256", 600, 1)), 200);
    let contact = &office.contacts()[0];
    let own = callbox_model::Egress { own: Arc::new([phone.me]), ..open() };
    let leg = office.node.dial(Way { egress: Arc::new(own), ..office.to(contact) });
    let outcome = office.node.outcome(leg);
    assert!(matches!(outcome, Outcome::Refused(callbox_model::Refused::Denied(_))), "{outcome:?}");
}

/// The caller proves who it is, when it is asked to.
#[test]
fn calls_from_users_are_known_by_their_digest() {
    let office = office(Answers::Never);
    *office.node.door.challenge.lock().unwrap() = Some(DOMAIN.to_owned());
    let mut phone = Udp::new(office.node.at(Transport::Udp));
    let invite = |cseq: u32, more: &str| {
        message("UDP", "INVITE", phone.me, "c", &format!("c{cseq}"), TO, cseq, "offer")
            .replace("<sip:a@127.0.0.1>", &format!("<sip:alice@{DOMAIN}>"))
            .replacen("Max-Forwards", &format!("{more}Max-Forwards"), 1)
    };
    let (first, ack) = (invite(1, ""), |text: &str, to: &str| text.replace("INVITE", "ACK").replace(TO, to));
    phone.say(&first);
    let challenged = phone.until(|text| status(text) >= 200).unwrap();
    assert_eq!(status(&challenged), 401);
    phone.say(&ack(&first, &header(&challenged, "To")));
    let challenges = headers(&challenged, "WWW-Authenticate");
    assert!(challenges[0].contains("algorithm=SHA-256") && challenges[1].contains("algorithm=MD5"), "{challenges:?}");
    let answer = |password: &str, cnonce: &str| {
        let credentials = callbox_sip::Credentials {
            realm: Some(DOMAIN.to_owned()),
            username: "alice".to_owned(),
            password: password.to_owned(),
        };
        let uri = "sip:bob@127.0.0.1";
        callbox_sip::digest::answer(&challenges, &credentials, "INVITE", uri, b"offer", cnonce, 1).unwrap()
    };
    let me = phone.me;
    let wrong = message("UDP", "INVITE", me, "c", "c2", TO, 2, "offer")
        .replace("<sip:a@127.0.0.1>", &format!("<sip:alice@{DOMAIN}>"))
        .replacen("Max-Forwards", &format!("Authorization: {}\r\nMax-Forwards", answer("guess", "x")), 1);
    phone.say(&wrong);
    let refused = phone.until(|text| status(text) >= 200 && header(text, "CSeq") == "2 INVITE").unwrap();
    assert_eq!(status(&refused), 401, "a wrong answer is not anonymous");
    let right = message("UDP", "INVITE", me, "c", "c3", TO, 3, "offer")
        .replace("<sip:a@127.0.0.1>", &format!("<sip:alice@{DOMAIN}>"))
        .replacen("Max-Forwards", &format!("Authorization: {}\r\nMax-Forwards", answer("secret", "y")), 1);
    phone.say(&right);
    let origin = office.node.wait(|_, event| match event {
        LegEvent::Offered(offered) => Some(offered.origin.clone()),
        _ => None,
    });
    assert_eq!(origin, Some(Origin::User(office.alice)));
}
