//! Dialling a leg: what is asked for, where that is, and the leg that begins with it.
//!
//! The module waits until its targets are looked up, has the leg's number then, and is told of the
//! leg by `event::leg`. How the targets are tried: `attempts`.

use std::collections::VecDeque;
use std::time::Duration;

use callbox_model::{
    Change, DialOptions, DialOrder, EndCause, Instant, LegNumber, MediaCommand, MediaPlan, Millis, Outcome,
    ReferTarget, StepError, Way,
};

use crate::Output;
use crate::attempts::{Dialling, Try};
use crate::call::Call;
use crate::control::Wait;
use crate::early::Early;
use crate::leg::{Leg, Signal, Sound, Then};
use crate::line::Line;
use crate::plan::Outgoing;
use crate::steps::Answer;

/// What waits for [`crate::Input::Resolved`].
#[derive(Debug)]
pub(crate) struct Resolving {
    ask: u32,
    what: What,
    until: Instant,
}

#[derive(Debug)]
enum What {
    Dial { targets: Vec<String>, options: Box<DialOptions> },
    Refer { leg: LegNumber, address: String, timeout: Duration },
}

impl Call {
    pub(crate) fn dial(
        &mut self,
        targets: Vec<String>,
        options: DialOptions,
        out: &mut Vec<Output>,
    ) -> Result<Answer, StepError> {
        self.check_dial(&targets, &options)?;
        self.check_room()?;
        // A transfer that was asked for, and is carried out.
        if let [target] = targets.as_slice()
            && let Some((referrer, Some(replaced))) = self.find_referral(target)
        {
            let number = self.dial_by_taking(referrer, replaced, options, target.clone(), out);
            return Ok(Answer::Now(Outcome::Dialling(number)));
        }
        let ask = self.resolve(targets.clone(), options.caller_id.clone(), out);
        let what = What::Dial { targets, options: Box::new(options) };
        self.resolving = Some(Resolving { ask, what, until: self.now.at + RESOLVE_WITHIN });
        Ok(Answer::When(Wait::Resolve(ask)))
    }

    /// Also a REFER is held against the rules for calls: its far end would call for us.
    pub(crate) fn resolve_refer(
        &mut self,
        leg: LegNumber,
        address: String,
        timeout: Duration,
        out: &mut Vec<Output>,
    ) -> Wait {
        let ask = self.resolve(vec![address.clone()], None, out);
        let what = What::Refer { leg, address, timeout };
        self.resolving = Some(Resolving { ask, what, until: self.now.at + RESOLVE_WITHIN });
        Wait::Resolve(ask)
    }

    fn resolve(&mut self, targets: Vec<String>, caller_id: Option<String>, out: &mut Vec<Output>) -> u32 {
        let ask = self.next_ask();
        out.push(Output::Resolve { ask, targets, caller_id });
        ask
    }

    pub(crate) fn resolved(&mut self, ask: u32, result: Result<Vec<Vec<Way>>, StepError>, out: &mut Vec<Output>) {
        let Some(Resolving { what, .. }) = self.resolving.take_if(|resolving| resolving.ask == ask) else {
            // Its module is gone, or was tired of waiting: nobody knows of a leg.
            self.strays += 1;
            return;
        };
        let outcome = match (result, what) {
            (Err(error), _) => Err(error),
            (Ok(ways), What::Dial { targets, options }) => {
                self.check_room().map(|()| self.begin_dial(ask, targets, *options, ways, out))
            }
            (Ok(ways), What::Refer { leg, address, timeout }) => {
                let to = refer_address(address, ways);
                to.and_then(|to| self.send_refer(leg, ReferTarget::Address(to), timeout, out)).map(|wait| {
                    self.wait_on(|wait| *wait == Wait::Resolve(ask), wait);
                })
            }
        };
        if let Err(error) = outcome {
            self.finish(|wait| *wait == Wait::Resolve(ask), Outcome::Failed(error), out);
        }
    }

    fn begin_dial(
        &mut self,
        ask: u32,
        targets: Vec<String>,
        options: DialOptions,
        ways: Vec<Vec<Way>>,
        out: &mut Vec<Output>,
    ) {
        let order = options.order.unwrap_or_default();
        let referrer = match targets.as_slice() {
            [target] => self.find_referral(target).map(|(referrer, _)| referrer),
            _ => None,
        };
        let number = self.add_dialled(targets, options, out);
        self.finish(|wait| *wait == Wait::Resolve(ask), Outcome::Dialling(number), out);
        if let Some(referrer) = referrer {
            self.follow_referral(referrer, number, out);
        }
        self.begin_rounds(number, order, ways, out);
    }

    /// Leg 1 of an outbound call. callbox holds the call until it is answered.
    pub(crate) fn begin_dialled(&mut self, outgoing: Outgoing, out: &mut Vec<Output>) {
        let Outgoing { to, ways, headers, timeout, .. } = outgoing;
        let options = DialOptions { headers, timeout: Some(timeout), ..DialOptions::default() };
        self.hold_until_answered(out);
        let number = self.add_dialled(vec![to], options, out);
        self.begin_rounds(number, DialOrder::All, vec![ways], out);
    }

    /// The leg, before anything is tried.
    pub(crate) fn add_dialled(
        &mut self,
        targets: Vec<String>,
        options: DialOptions,
        out: &mut Vec<Output>,
    ) -> LegNumber {
        let number = self.legs.next_number();
        let address = targets.join(", ");
        self.record(Change::LegStarted { leg: number, address: address.clone() }, out);
        // Where its sound is comes with the first round.
        let nowhere = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let plan = MediaPlan {
            tenant: self.tenant,
            local: nowhere,
            peer: nowhere,
            networks: std::sync::Arc::new([]),
            remote: None,
        };
        let key = self.new_key(out);
        let line = Line::new(key, address, plan, self.session_number() ^ key.0);
        let timeout = millis(options.timeout.unwrap_or(TIMEOUT_MS));
        let early = if options.early_media == Some(true) { Early::Wanted } else { Early::NotWanted };
        let dialling = Dialling {
            targets,
            headers: options.headers,
            until: self.now.at + timeout,
            round_until: self.now.at + timeout,
            share: timeout,
            rounds: VecDeque::new(),
            untried: Vec::new(),
            attempts: Vec::new(),
            best: None,
            ringing: None,
            ringings: 0,
            early,
            time_limit: options.time_limit.map(millis),
            send_digits: options.send_digits,
            referrer: None,
            taking: None,
        };
        self.legs.all.push(Leg::new(number, line, Signal::Dialling(Box::new(dialling)), None));
        number
    }

    fn begin_rounds(&mut self, number: LegNumber, order: DialOrder, ways: Vec<Vec<Way>>, out: &mut Vec<Output>) {
        let Some(dialling) = self.legs.get_mut(number).and_then(Leg::dialling) else { return };
        let rounds = ways
            .into_iter()
            .enumerate()
            .map(|(target, ways)| ways.into_iter().map(|way| Try { target, way }).collect::<Vec<_>>());
        dialling.rounds = match order {
            DialOrder::All => VecDeque::from([rounds.flatten().collect()]),
            DialOrder::OneByOne => rounds.collect(),
        };
        let share = u32::try_from(dialling.rounds.len()).unwrap_or(u32::MAX).max(1);
        dialling.share /= share;
        self.next_round(number, out);
    }

    /// The port of a leg that is dialled, under the address that its round leaves by.
    pub(crate) fn open_for_round(&mut self, number: LegNumber, first: &Way, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let is_elsewhere = leg.line.plan.local != first.local;
        leg.line.plan.local = first.local;
        leg.line.plan.peer = if first.local.is_ipv4() {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        leg.line.plan.networks = first.media_networks.clone();
        match &leg.sound {
            Sound::Silent => {}
            Sound::Open(_) | Sound::Opening(_) if is_elsewhere => {
                let old = leg.line.port;
                self.shed_port(old, out);
                let key = self.new_key(out);
                let Some(leg) = self.legs.get_mut(number) else { return };
                (leg.line.port, leg.line.dialog) = (key, key);
                leg.line.agreed = None;
                self.counted_last(number, None);
                self.start_counting_anew(number);
            }
            Sound::Open(_) => {
                self.try_round(number, out);
                return;
            }
            // It is opening for this round already, or its leg is over.
            _ => return,
        }
        let Some(leg) = self.legs.get_mut(number) else { return };
        leg.sound = Sound::Opening(Then::Dial);
        leg.line.media(MediaCommand::Open(leg.line.media_plan()), out);
    }

    pub(crate) fn new_key(&self, out: &mut Vec<Output>) -> callbox_model::LegKey {
        let leg = self.keys.next(self.lane);
        out.push(Output::Own { leg });
        leg
    }

    fn check_room(&self) -> Result<(), StepError> {
        if self.is_leaving() {
            return Err(StepError::State("the call is being hung up".to_owned()));
        }
        let most = self.application.limits.legs_per_call;
        if self.legs.standing() >= most as usize {
            return Err(StepError::Quota(format!("legs_per_call: {most} legs stand")));
        }
        Ok(())
    }

    pub(crate) fn resolve_deadline(&self) -> Option<(Instant, &'static str)> {
        self.resolving.as_ref().map(|resolving| (resolving.until, "where a target is"))
    }

    pub(crate) fn resolve_tick(&mut self, out: &mut Vec<Output>) {
        if let Some(Resolving { ask, .. }) = self.resolving.take_if(|resolving| resolving.until <= self.now.at) {
            let error = StepError::Unavailable("where the target is could not be found out in time".to_owned());
            self.finish(|wait| *wait == Wait::Resolve(ask), Outcome::Failed(error), out);
        }
    }
}

/// A URI goes out as it was given; a number or a name as the URI that it stands for.
fn refer_address(address: String, ways: Vec<Vec<Way>>) -> Result<String, StepError> {
    if address.contains(':') {
        return Ok(address);
    }
    let first = ways.into_iter().flatten().next();
    first.map(|way| way.target).ok_or_else(|| StepError::Unavailable(format!("`{address}` can be reached nowhere")))
}

pub(crate) fn nobody_there() -> EndCause {
    EndCause { status: 480, reason: "nobody can be reached there".to_owned(), remote: false }
}

pub(crate) fn millis(ms: Millis) -> Duration {
    Duration::from_millis(ms.into())
}

const TIMEOUT_MS: Millis = 60_000;
/// The node answers from memory.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);
