//! Joins: rows of one person in one partition with rows of the same person in the same partition.

use commun_domain::plan::Condition;
use commun_domain::plan::relation::MAX_JOINED_ROWS;

use super::evaluate::{Persons, retain};
use super::frame::Frame;
use super::kept::Kept;
use super::record::{content_words, push_content};
use crate::bound::PrfKey;
use crate::eval::Batch;

impl Persons<'_> {
    pub(super) fn join(&self, left: &Frame, right: &Frame, outer: bool, condition: Option<&Condition>, number: u32) -> Frame {
        let capped = |frame: &Frame, side: u32| capped(frame, |person| (self.key)(person).side(2 * number + side));
        let (left, right) = (capped(left, 0), capped(right, 1));
        let (mut pairs, mut starts) = (Vec::new(), vec![0]);
        for (own, other) in left.ranges().zip(right.ranges()) {
            for row in own {
                pairs.extend(other.clone().map(|partner| (row, Some(partner))));
            }
            starts.push(pairs.len());
        }
        let paired = Frame { columns: columns_of(&left, &right, &pairs), starts };
        let holds = condition.map(|condition| Batch { rows: paired.rows(), columns: &paired.find() }.condition(condition).yes);
        let holds = |pair: usize| holds.as_ref().is_none_or(|yes| yes.value(pair));
        if !outer {
            return if condition.is_none() { paired } else { retain(&paired, holds) };
        }
        let (mut kept, mut starts, mut pair) = (Vec::new(), vec![0], 0);
        for (own, other) in left.ranges().zip(right.ranges()) {
            for row in own {
                let before = kept.len();
                for partner in other.clone() {
                    if holds(pair) {
                        kept.push((row, Some(partner)));
                    }
                    pair += 1;
                }
                if kept.len() == before {
                    kept.push((row, None));
                }
            }
            starts.push(kept.len());
        }
        Frame { columns: columns_of(&left, &right, &kept), starts }
    }
}

fn columns_of(left: &Frame, right: &Frame, pairs: &[(usize, Option<usize>)]) -> Vec<(String, crate::eval::Ints)> {
    let (own, other): (Vec<Option<usize>>, Vec<Option<usize>>) = pairs.iter().map(|(own, other)| (Some(*own), *other)).unzip();
    let mut columns = left.gathered(&own);
    columns.extend(right.gathered(&other));
    columns
}

/// At most [`MAX_JOINED_ROWS`] rows of each person.
fn capped(frame: &Frame, key: impl Fn(usize) -> PrfKey) -> Frame {
    let most = MAX_JOINED_ROWS as usize;
    if frame.ranges().all(|range| range.len() <= most) {
        return frame.clone();
    }
    let columns = frame.by_name();
    let width = content_words(columns.len());
    let mut keep = vec![true; frame.rows()];
    for (person, range) in frame.ranges().enumerate().filter(|(_, range)| range.len() > most) {
        let mut rows: Vec<(Vec<u64>, usize)> = range
            .map(|row| {
                let mut content = Vec::with_capacity(width);
                push_content(columns.iter().copied(), row, &mut content);
                (content, row)
            })
            .collect();
        rows.sort_unstable();
        let (key, mut kept) = (key(person), Kept::new(most, width));
        for (content, _) in &rows {
            kept.add(content, || key);
        }
        let mut chosen = Vec::new();
        kept.take(&mut chosen);
        let mut left = std::collections::HashMap::new();
        // Rows without a column are all equal.
        (0..most).for_each(|row| *left.entry(&chosen[row * width..][..width]).or_insert(0usize) += 1);
        for (content, row) in &rows {
            keep[*row] = left.get_mut(content.as_slice()).is_some_and(|left| {
                let any = *left > 0;
                *left = left.saturating_sub(1);
                any
            });
        }
    }
    retain(frame, |row| keep[row])
}
