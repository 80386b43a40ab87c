//! `types`: the model's words in the contract's, and back.

use callbox_model as model;

use crate::contract::callbox::voice::types;
use crate::guest::Guest;

impl types::Host for Guest {}

/// The same result, with the contract's error.
pub(super) fn told<T>(result: Result<T, model::StepError>) -> Result<T, types::StepError> {
    result.map_err(Into::into)
}

pub(super) fn headers(given: Vec<types::Header>) -> Vec<model::Header> {
    given.into_iter().map(|header| model::Header { name: header.name, value: header.value }).collect()
}

pub(super) fn shown(given: Vec<model::Header>) -> Vec<types::Header> {
    given.into_iter().map(|header| types::Header { name: header.name, value: header.value }).collect()
}

impl From<model::CallInfo> for types::CallInfo {
    fn from(given: model::CallInfo) -> Self {
        Self {
            id: given.id.to_string(),
            direction: match given.direction {
                model::Direction::Inbound => types::Direction::Inbound,
                model::Direction::Outbound => types::Direction::Outbound,
            },
            caller: given.caller,
            called: given.called,
            number: given.number,
            application: given.application,
            headers: shown(given.headers),
            answered: given.answered,
            input: given.input,
            predecessor: given.predecessor.map(Into::into),
            resume: given.resume,
        }
    }
}

impl From<model::Predecessor> for types::Predecessor {
    fn from(given: model::Predecessor) -> Self {
        Self {
            module: given.module,
            version: given.version,
            fault: types::Fault { code: given.fault.code.code().to_owned(), message: given.fault.message },
            attempt: given.attempt,
            state: given.state,
            digits: given.digits,
            steps: given.steps,
            legs: given.legs.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<model::Leg> for types::Leg {
    fn from(given: model::Leg) -> Self {
        Self { id: given.id, address: given.address, state: given.state.into() }
    }
}

impl From<model::LegState> for types::LegState {
    fn from(given: model::LegState) -> Self {
        match given {
            model::LegState::Trying => Self::Trying,
            model::LegState::Ringing(status) => Self::Ringing(status),
            model::LegState::Answered => Self::Answered,
            model::LegState::Held => Self::Held,
            model::LegState::Ended(cause) => Self::Ended(cause.into()),
        }
    }
}

impl From<model::EndCause> for types::EndCause {
    fn from(given: model::EndCause) -> Self {
        Self { status: given.status, reason: given.reason, remote: given.remote }
    }
}

impl From<model::StepError> for types::StepError {
    fn from(given: model::StepError) -> Self {
        match given {
            model::StepError::Ended(cause) => Self::Ended(cause.into()),
            model::StepError::State(words) => Self::State(words),
            model::StepError::Argument(words) => Self::Argument(words),
            model::StepError::Quota(words) => Self::Quota(words),
            model::StepError::Denied(words) => Self::Denied(words),
            model::StepError::Unavailable(words) => Self::Unavailable(words),
            model::StepError::Stopped => Self::Stopped,
            model::StepError::Timeout => Self::Timeout,
            model::StepError::Other(words) => Self::Other(words),
        }
    }
}

impl From<types::StepError> for model::StepError {
    fn from(given: types::StepError) -> Self {
        match given {
            types::StepError::Ended(cause) => {
                Self::Ended(model::EndCause { status: cause.status, reason: cause.reason, remote: cause.remote })
            }
            types::StepError::State(words) => Self::State(words),
            types::StepError::Argument(words) => Self::Argument(words),
            types::StepError::Quota(words) => Self::Quota(words),
            types::StepError::Denied(words) => Self::Denied(words),
            types::StepError::Unavailable(words) => Self::Unavailable(words),
            types::StepError::Stopped => Self::Stopped,
            types::StepError::Timeout => Self::Timeout,
            types::StepError::Other(words) => Self::Other(words),
        }
    }
}
