//! Trunks that register: one node with another, and with a carrier by hand.

mod support;

use std::sync::Arc;
use std::time::Duration;

use callbox_model::{Egress, LegCommand, LegEvent, TrunkId, TrunkState, UserId};
use callbox_signal::{Transport, TrunkRegistration};
use support::{Answers, Door, Node, credentials, eventually, node, open, to};

const DOMAIN: &str = "127.0.0.1";

fn carrier() -> (Node, UserId) {
    let door = Arc::<Door>::default();
    door.domain(DOMAIN, false);
    let user = door.user(DOMAIN, "line1", "secret", 1);
    (Node::start(support::plain(), Answers::AtOnce, door, Vec::new()), user)
}

fn trunk(id: u128, carrier: &Node, transport: Transport, password: &str) -> TrunkRegistration {
    let name = transport.name().to_ascii_lowercase();
    TrunkRegistration {
        trunk: TrunkId::from_u128(id),
        uri: format!("sip:{};transport={name}", carrier.at(transport)),
        credentials: credentials("line1", password),
        expires: Duration::from_secs(600),
        egress: Arc::new(open()),
    }
}

fn state(node: &Node, id: u128, is_it: impl Fn(&TrunkState) -> bool) -> TrunkState {
    eventually(|| {
        let told = node.door.trunks.lock().unwrap();
        told.iter()
            .rev()
            .find(|(trunk, state)| *trunk == TrunkId::from_u128(id) && is_it(state))
            .map(|(_, s)| s.clone())
    })
}

#[test]
fn a_trunk_registers_is_called_and_is_taken_back() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (carrier, user) = carrier();
        let pbx = node(|_| {}, Answers::AtOnce);
        pbx.handle.set_trunks(vec![trunk(1, &carrier, transport, "secret")]);
        state(&pbx, 1, |state| matches!(state, TrunkState::Registered { .. }));
        let contacts = carrier.handle.contacts(user);
        assert_eq!(contacts.len(), 1, "{contacts:?}");
        let contact = &contacts[0].registration.contact;
        assert!(contact.starts_with(&format!("sip:line1@{}", pbx.at(transport))), "{contact}");

        // A call comes by the way that it told.
        carrier.must_reach(callbox_model::Way { flow: contacts[0].flow, ..to(contact.clone()) });

        // The same wishes change nothing.
        pbx.handle.set_trunks(vec![trunk(1, &carrier, transport, "secret")]);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(carrier.handle.contacts(user), contacts);

        pbx.handle.set_trunks(Vec::new());
        eventually(|| carrier.handle.contacts(user).is_empty().then_some(()));
    }
}

#[test]
fn a_trunk_that_fails_says_why() {
    let (carrier, _) = carrier();
    let pbx = node(|_| {}, Answers::Never);
    let closed = TrunkRegistration { egress: Arc::new(Egress::default()), ..trunk(2, &carrier, Transport::Udp, "x") };
    let unread = TrunkRegistration { uri: "carrier".to_owned(), ..trunk(3, &carrier, Transport::Udp, "x") };
    pbx.handle.set_trunks(vec![trunk(1, &carrier, Transport::Udp, "guess"), closed, unread]);
    let is_failed = |state: &TrunkState| matches!(state, TrunkState::Failed { .. });
    assert!(matches!(state(&pbx, 1, is_failed), TrunkState::Failed { status: 401, .. }));
    match state(&pbx, 2, is_failed) {
        TrunkState::Failed { reason, .. } => assert!(reason.contains("a loopback address"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(state(&pbx, 3, is_failed), TrunkState::Failed { status: 400, .. }));
    // A new password is a new wish.
    pbx.handle.set_trunks(vec![trunk(1, &carrier, Transport::Udp, "secret")]);
    state(&pbx, 1, |state| matches!(state, TrunkState::Registered { .. }));
}

/// A dialled call answers the carrier's challenge, with these credentials alone.
#[test]
fn a_call_answers_a_challenge_for_its_trunk() {
    let (carrier, _) = carrier();
    *carrier.door.challenge.lock().unwrap() = Some(DOMAIN.to_owned());
    let pbx = node(|_| {}, Answers::Never);
    let way = callbox_model::Way {
        credentials: Some(credentials("line1", "secret")),
        caller: format!("<sip:line1@{DOMAIN}>"),
        ..to(format!("sip:x@{}", carrier.at(Transport::Udp)))
    };
    pbx.must_reach(way.clone());
    let leg = pbx.dial(callbox_model::Way { credentials: None, ..way });
    let outcome = pbx.outcome(leg);
    assert!(matches!(&outcome, support::Outcome::Ended(cause) if cause.status == 401), "{outcome:?}");
}

/// The connection that the carrier calls us by goes: it is told of the new one.
#[test]
fn a_trunk_registers_again_when_its_stream_is_lost() {
    let (mut carrier, user) = carrier();
    let pbx = node(|_| {}, Answers::AtOnce);
    let wish = trunk(1, &carrier, Transport::Tcp, "secret");
    pbx.handle.set_trunks(vec![wish]);
    state(&pbx, 1, |state| matches!(state, TrunkState::Registered { .. }));
    let (udp, tcp) = (carrier.at(Transport::Udp), carrier.at(Transport::Tcp));
    let door = carrier.door.clone();
    carrier.stop();
    let mut config = support::plain();
    config.listen =
        vec![support::listen(Transport::Udp, &udp.to_string()), support::listen(Transport::Tcp, &tcp.to_string())];
    let again = Node::start(config, Answers::AtOnce, door, Vec::new());
    let contacts = eventually(|| {
        let contacts = again.handle.contacts(user);
        (!contacts.is_empty()).then_some(contacts)
    });
    let leg = again.dial(callbox_model::Way { flow: contacts[0].flow, ..to(contacts[0].registration.contact.clone()) });
    assert!(matches!(again.outcome(leg), support::Outcome::Answered(_)));
    again.handle.send(leg, LegCommand::Hangup { ask: 3, reason: None });
    assert!(pbx.wait(|_, event| matches!(event, LegEvent::Ended(_)).then_some(())).is_some());
}
