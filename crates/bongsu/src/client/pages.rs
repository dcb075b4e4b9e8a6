//! Lists of the hub, page by page; every command that shows one reads it here.
//!
//! Invariant: every row is given once, as the hub wrote it; cursors are the hub's and opaque, and one that does not move on is an error, not an end.
//! Not here: how rows are shown (each command).

use super::Api;
use anyhow::{Context, bail};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// The pages of a list.
pub struct Pages<'a> {
    api: &'a Api,
    path: String,
    /// The field of an answer that holds its rows.
    field: &'static str,
    parameters: Vec<(&'static str, String)>,
    /// Rows a request; the hub's own number where there is none.
    page: Option<u64>,
    cursor: Option<String>,
    left: Option<u64>,
    over: bool,
}

impl<'a> Pages<'a> {
    /// Prepares to read a list, whole.
    pub fn new(api: &'a Api, path: &str, field: &'static str, parameters: Vec<(&'static str, String)>) -> Self {
        Self { api, path: path.to_owned(), field, parameters, page: None, cursor: None, left: None, over: false }
    }

    /// Asks for so many rows a request, which the hub's list must take.
    pub fn of(self, page: u64) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Ends after so many rows.
    pub fn up_to(self, limit: u64) -> Self {
        Self { left: Some(limit), over: limit == 0, ..self }
    }

    /// The rows of the next page; `None` at the end.
    pub fn next_page(&mut self) -> anyhow::Result<Option<Vec<Box<RawValue>>>> {
        if self.over {
            return Ok(None);
        }
        let mut parameters = self.parameters.clone();
        if let Some(page) = self.page {
            parameters.push(("limit", self.left.map_or(page, |left| left.min(page)).to_string()));
        }
        parameters.extend(self.cursor.iter().map(|cursor| ("cursor", cursor.clone())));
        let answer = self.api.get(&self.path, &parameters)?.read::<HashMap<String, Box<RawValue>>>()?;
        let Some(rows) = answer.get(self.field) else { bail!("the hub's answer holds no {}", self.field) };
        let rows: Vec<Box<RawValue>> = serde_json::from_str(rows.get()).with_context(|| format!("the hub's {} are no list", self.field))?;
        let next: Option<String> = match answer.get("cursor") {
            Some(cursor) => serde_json::from_str(cursor.get()).context("the hub's cursor is no text")?,
            None => None,
        };
        if next.is_some() && next == self.cursor {
            bail!("the hub's cursor does not move on");
        }
        self.cursor = next;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(rows.len() as u64);
        }
        self.over = self.cursor.is_none() || self.left == Some(0);
        Ok(Some(rows))
    }

    /// Every row that is left.
    pub fn all(mut self) -> anyhow::Result<Vec<Box<RawValue>>> {
        let mut rows = Vec::new();
        while let Some(mut page) = self.next_page()? {
            rows.append(&mut page);
        }
        Ok(rows)
    }
}
