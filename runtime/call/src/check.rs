//! What a module hands over, held against its bounds. Every refusal names the argument, what it
//! was, and what it may be.

use callbox_model::{DialOptions, GatherOptions, Header, LegNumber, PlayOptions, Source, StepError};

use crate::call::Call;

impl Call {
    /// Leg 1 unless told otherwise.
    pub(crate) fn check_leg(&self, leg: Option<LegNumber>) -> Result<LegNumber, StepError> {
        let number = leg.unwrap_or(1);
        self.legs.check(number).map(|_| number)
    }

    pub(crate) fn check_dial(&self, targets: &[String], options: &DialOptions) -> Result<(), StepError> {
        let most = self.application.limits.dial_targets as usize;
        if targets.is_empty() || targets.len() > most {
            return Err(StepError::Argument(format!("targets: {} of them, not 1 to {most}", targets.len())));
        }
        for target in targets {
            self.check_target("targets", target)?;
        }
        if let Some(caller_id) = &options.caller_id {
            self.check_target("caller-id", caller_id)?;
        }
        self.check_bounds("timeout", options.timeout, 1_000, 600_000)?;
        self.check_bounds("time-limit", options.time_limit, 1_000, LONGEST_LEG_MS)?;
        self.check_sent_digits("send-digits", options.send_digits.as_deref())?;
        if options.headers.len() > MOST_HEADERS {
            let why = format!("headers: {} of them, more than {MOST_HEADERS}", options.headers.len());
            return Err(StepError::Argument(why));
        }
        self.check_headers(&options.headers)
    }

    /// A SIP URI, a number, or a user. What it means, and whether it may be called, is not for the
    /// brain to say.
    pub(crate) fn check_target(&self, name: &str, target: &str) -> Result<(), StepError> {
        if target.trim().is_empty() {
            return Err(StepError::Argument(format!("{name}: it is empty")));
        }
        if target.len() > LONGEST_TARGET_BYTES || target.chars().any(char::is_control) {
            let why = format!("{name}: at most {LONGEST_TARGET_BYTES} bytes, and no control characters");
            return Err(StepError::Argument(why));
        }
        Ok(())
    }

    pub(crate) fn check_sent_digits(&self, name: &str, digits: Option<&str>) -> Result<(), StepError> {
        let digits = digits.unwrap_or_default();
        if digits.len() > MOST_SENT {
            return Err(StepError::Argument(format!("{name}: {} of them, more than {MOST_SENT}", digits.len())));
        }
        match digits.chars().find(|digit| !matches!(digit, 'w' | 'W') && !DIGITS.contains(*digit)) {
            Some(other) => Err(StepError::Argument(format!("{name}: {other:?} is none of {DIGITS} and w"))),
            None => Ok(()),
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
/// A day.
const LONGEST_LEG_MS: u32 = 86_400_000;
const LONGEST_REASON: usize = 256;
/// SIP URIs of the real world have fewer than 200 bytes.
const LONGEST_TARGET_BYTES: usize = 1_024;
/// Headers that go out with one dial.
const MOST_HEADERS: usize = 64;
/// Digits that are sent at once.
const MOST_SENT: usize = 256;
const LONGEST_HEADER_BYTES: usize = 1_024;
