//! Scripted attacks of a malicious coordinator, malicious members, or both. Each ends in a refusal with its code, and afterwards the checker
//! finds nothing about fewer than h honest members in what passed.

mod attempts;
mod keys;
mod random;
mod shares;
mod survivors;
