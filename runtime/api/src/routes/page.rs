//! Lists in pieces: `limit` things behind `after`.

use crate::app::App;
use crate::backend::Page;
use crate::problem::{Code, Problem, Result};
use crate::views::List;

/// A page as it was asked for, within the bounds.
pub(super) struct Asked<Key> {
    after: Option<Key>,
    limit: u32,
}

impl<Key> Asked<Key> {
    pub(super) fn new(app: &App, after: Option<Key>, limit: Option<u32>) -> Result<Self> {
        Ok(Self { after, limit: limit_of(app, limit)? })
    }

    /// One more than was asked for, to see whether it is the end.
    pub(super) fn page(&mut self) -> Page<Key> {
        Page { after: self.after.take(), limit: self.limit + 1 }
    }

    pub(super) fn list<Thing, View: From<Thing>>(
        self,
        mut things: Vec<Thing>,
        key: impl Fn(&Thing) -> String,
    ) -> List<View> {
        let limit = self.limit as usize;
        let is_end = things.len() <= limit;
        things.truncate(limit);
        let next = if is_end { None } else { things.last().map(key) };
        List { items: things.into_iter().map(View::from).collect(), next }
    }
}

pub(super) fn limit_of(app: &App, limit: Option<u32>) -> Result<u32> {
    let most = app.config.page_max;
    match limit {
        None => Ok(app.config.page.clamp(1, most)),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::field(Code::BadQuery, "limit", format!("{limit} is not between 1 and {most}"))),
    }
}
