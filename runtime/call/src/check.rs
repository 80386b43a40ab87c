//! What a module hands over, held against its bounds. Every refusal names the argument, what it
//! was, and what it may be.

use callbox_model::{GatherOptions, Header, LegNumber, PlayOptions, Source, StepError};

use crate::call::Call;

impl Call {
    pub(crate) fn check_leg(&self, leg: Option<LegNumber>) -> Result<(), StepError> {
        match leg {
            None | Some(1) => Ok(()),
            Some(other) => Err(StepError::State(format!("the call has no leg {other}"))),
        }
    }

    pub(crate) fn check_play(&self, options: &PlayOptions) -> Result<(), StepError> {
        if let Some(gain) = options.gain_db
            && !(-60..=20).contains(&gain)
        {
            return Err(StepError::Argument(format!("gain-db: {gain} is not within -60 to 20")));
        }
        self.check_digit_set("stop-on", options.stop_on.as_deref())
    }

    /// `min` and `max`.
    pub(crate) fn check_gather(&self, options: &GatherOptions) -> Result<(u32, u32), StepError> {
        self.check_bounds("min", options.min, 1, MOST_GATHERED)?;
        let min = options.min.unwrap_or(1);
        self.check_bounds("max", options.max, min, MOST_GATHERED)?;
        self.check_bounds("first-digit", options.first_digit, 1, LONGEST_MS)?;
        self.check_bounds("inter-digit", options.inter_digit, 1, LONGEST_MS)?;
        self.check_digit_set("terminators", options.terminators.as_deref())?;
        Ok((min, options.max.unwrap_or(MOST_GATHERED)))
    }

    pub(crate) fn check_sources(&self, sources: &[Source]) -> Result<(), StepError> {
        let limits = &self.application.limits;
        if sources.len() > limits.sources as usize {
            let why = format!("sources: {} of them, more than {}", sources.len(), limits.sources);
            return Err(StepError::Argument(why));
        }
        for source in sources {
            match source {
                Source::Text(speech) => {
                    let length = speech.text.chars().count();
                    if length > limits.speech_characters as usize {
                        let why = format!("text: {length} characters, more than {}", limits.speech_characters);
                        return Err(StepError::Argument(why));
                    }
                    if speech.text.trim().is_empty() {
                        return Err(StepError::Argument("text: there is nothing to say".to_owned()));
                    }
                }
                Source::Tone { first, second, length } => {
                    for hz in [Some(*first), *second].into_iter().flatten() {
                        self.check_bounds("tone", Some(hz.into()), 20, 3_900)?;
                    }
                    self.check_bounds("tone.length", Some(*length), 1, LONGEST_MS)?;
                }
                Source::Silence(length) => self.check_bounds("silence", Some(*length), 1, LONGEST_MS)?,
                Source::Asset(name) if name.is_empty() => {
                    return Err(StepError::Argument("asset: it has no name".to_owned()));
                }
                Source::Asset(_) => {}
            }
        }
        Ok(())
    }

    pub(crate) fn check_headers(&self, headers: &[Header]) -> Result<(), StepError> {
        for header in headers {
            self.check_header(header)?;
            if !self.application.lets_through(&header.name) {
                return Err(StepError::Denied(format!("header `{}` is not on the application's list", header.name)));
            }
        }
        Ok(())
    }

    pub(crate) fn check_reject(&self, status: u16, reason: &str, headers: &[Header]) -> Result<(), StepError> {
        if !(300..=699).contains(&status) {
            return Err(StepError::Argument(format!("status: {status} is not within 300 to 699")));
        }
        self.check_reason(Some(reason))?;
        let (contacts, others): (Vec<_>, Vec<_>) =
            headers.iter().cloned().partition(|header| header.name.eq_ignore_ascii_case("contact"));
        if status < 400 && contacts.is_empty() {
            return Err(StepError::Argument(format!("headers: a {status} needs a Contact")));
        }
        if status >= 400 && !contacts.is_empty() {
            return Err(StepError::Argument(format!("headers: a {status} has no Contact")));
        }
        for contact in &contacts {
            self.check_header(contact)?;
        }
        self.check_headers(&others)
    }

    pub(crate) fn check_reason(&self, reason: Option<&str>) -> Result<(), StepError> {
        let reason = reason.unwrap_or_default();
        if reason.chars().count() > LONGEST_REASON || reason.chars().any(char::is_control) {
            let why = format!("reason: at most {LONGEST_REASON} characters, and no control characters");
            return Err(StepError::Argument(why));
        }
        Ok(())
    }

    pub(crate) fn check_bounds(&self, name: &str, value: Option<u32>, least: u32, most: u32) -> Result<(), StepError> {
        match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(StepError::Argument(format!("{name}: {value} is not within {least} to {most}")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_digit_set(&self, name: &str, digits: Option<&str>) -> Result<(), StepError> {
        match digits.unwrap_or_default().chars().find(|digit| !DIGITS.contains(*digit)) {
            Some(other) => Err(StepError::Argument(format!("{name}: {other:?} is none of {DIGITS}"))),
            None => Ok(()),
        }
    }

    fn check_header(&self, header: &Header) -> Result<(), StepError> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
        if header.name.is_empty() || !header.name.bytes().all(is_token) {
            return Err(StepError::Argument(format!("headers: {:?} is no header name", header.name)));
        }
        if header.value.len() > LONGEST_HEADER_BYTES || header.value.chars().any(char::is_control) {
            let why = format!(
                "headers: the value of `{}` has control characters, or more than {LONGEST_HEADER_BYTES} bytes",
                header.name
            );
            return Err(StepError::Argument(why));
        }
        Ok(())
    }
}

const DIGITS: &str = "0123456789*#ABCD";
/// Digits of one gather.
const MOST_GATHERED: u32 = 128;
/// An hour: longer waits are loops.
const LONGEST_MS: u32 = 3_600_000;
const LONGEST_REASON: usize = 256;
const LONGEST_HEADER_BYTES: usize = 1_024;
