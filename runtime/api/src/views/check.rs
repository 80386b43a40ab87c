//! What is wrong with the fields of a request, all at once.

use crate::problem::{Code, FieldError, Problem};

#[derive(Default)]
pub(crate) struct Fields(Vec<FieldError>);

impl Fields {
    pub(crate) fn hold(&mut self, field: &str, holds: bool, detail: impl FnOnce() -> String) {
        if !holds {
            self.0.push(FieldError { field: field.to_owned(), detail: detail() });
        }
    }

    /// A name that stands in paths and in code: letters, digits, `-`, `_` and `.`.
    pub(crate) fn hold_name(&mut self, field: &str, name: &str) {
        self.hold(field, is_name(name), || {
            format!(
                "`{}` is no name: 1 to 64 of a-z, A-Z, 0-9, `-`, `_`, `.`, the first a letter or digit",
                shown(name)
            )
        });
    }

    /// A name for people.
    pub(crate) fn hold_title(&mut self, field: &str, title: &str) {
        let fits = (1..=100).contains(&title.chars().count()) && !title.chars().any(char::is_control);
        self.hold(field, fits && title.trim() == title, || {
            "must have 1 to 100 characters, no control characters, and no space around it".to_owned()
        });
    }

    pub(crate) fn hold_length(&mut self, field: &str, length: usize, most: usize) {
        self.hold(field, length <= most, || format!("has {length} bytes; {most} is the most"));
    }

    pub(crate) fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.0.iter().map(|error| format!("`{}`", error.field)).collect();
        let detail = format!("the request has wrong values in {}", names.join(", "));
        Err(Problem::new(Code::Invalid, detail).with_errors(self.0))
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Enough of it to recognize.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
