//! To the contract, a record of options with nothing in it is the default.
#![expect(clippy::derivable_impls, reason = "the records are generated, and `wit-bindgen` derives for all or none")]

use crate::bindings::callbox::voice::call::DialOptions;
use crate::bindings::callbox::voice::media::{GatherOptions, PlayOptions, RecordOptions};

impl Default for PlayOptions {
    fn default() -> Self {
        Self { leg: None, repeat: None, stop_on: None, gain_db: None }
    }
}

impl Default for GatherOptions {
    fn default() -> Self {
        Self {
            leg: None,
            min: None,
            max: None,
            terminators: None,
            first_digit: None,
            inter_digit: None,
            sensitive: None,
        }
    }
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self { leg: None, tracks: None, max: None, silence: None, stop_on: None, beep: None }
    }
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            order: None,
            caller_id: None,
            headers: Vec::new(),
            timeout: None,
            time_limit: None,
            send_digits: None,
            early_media: None,
        }
    }
}
