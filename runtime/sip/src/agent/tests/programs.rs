//! Random calls on a bad network: both sides always end, once, and nothing is left behind.

use proptest::prelude::*;

use super::net::{CALLEE, CALLER, Net, Weather};
use crate::agent::{Command, Event, Transport};

#[derive(Clone, Debug)]
enum Act {
    Ring,
    Answer,
    Reject(u16),
    HangUp(bool),
    AnswerReoffer,
    Pass(u64),
    Garbage(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Ring),
        3 => Just(Act::Answer),
        1 => (300u16..700).prop_map(Act::Reject),
        2 => any::<bool>().prop_map(Act::HangUp),
        1 => Just(Act::AnswerReoffer),
        6 => (0u64..8_000).prop_map(Act::Pass),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Act::Garbage),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_024), ..ProptestConfig::default() })]

    #[test]
    fn both_sides_end_once_and_leave_nothing(
        seed: u64,
        is_stream: bool,
        loss in 0u64..50,
        twice in 0u64..30,
        jitter_ms in 0u64..900,
        acts in proptest::collection::vec(act(), 0..14),
    ) {
        let transport = if is_stream { Transport::Tcp } else { Transport::Udp };
        let mut net = Net::new(transport, Weather { loss, twice, jitter_ms }, seed);
        net.dial();
        for act in acts {
            match act {
                Act::Ring => net.command_if_alive(CALLEE, Command::Ring { status: 183, body: Some(b"early".to_vec()) }),
                Act::Answer => net.command_if_alive(CALLEE, Command::Answer { body: b"answer".to_vec(), headers: vec![] }),
                Act::Reject(status) => {
                    net.command_if_alive(CALLEE, Command::Reject { status, reason: String::new(), headers: vec![] });
                }
                Act::HangUp(caller) => {
                    let who = if caller { CALLER } else { CALLEE };
                    net.command_if_alive(who, Command::Hangup { reason: None });
                }
                Act::AnswerReoffer => net.command_if_alive(CALLEE, Command::AnswerReoffer { body: vec![] }),
                Act::Pass(ms) => net.pass_ms(ms),
                Act::Garbage(bytes) => net.deliver(CALLEE, bytes.into()),
            }
        }
        net.pass_ms(1_000);
        for who in [CALLER, CALLEE] {
            net.command_if_alive(who, Command::Hangup { reason: None });
        }
        net.pass_ms(150_000);
        // A callee may have heard of it late, and nothing of its end: it rings until its user acts.
        net.command_if_alive(CALLEE, Command::Hangup { reason: None });
        net.pass_ms(150_000);
        prop_assert!(net.has_ended(CALLER), "the caller's leg does not end: {:?}", net.told);
        prop_assert!(net.doors.offers.is_empty() || net.has_ended(CALLEE), "the callee's leg does not end: {:?}", net.told);
        prop_assert!(net.doors.offers.len() <= 1, "one INVITE was offered twice");
        prop_assert!(net.is_empty(), "left behind: {:?}", net.agents.each_ref().map(|agent| agent.counts()));
        for told in &net.told {
            let answered = told.iter().filter(|event| matches!(event, Event::Answered { .. } | Event::Confirmed { .. })).count();
            prop_assert!(answered <= 1, "answered twice: {:?}", told);
        }
    }
}
