//! Who is connected: the registry through which use-cases reach agents and agents' replies reach the attempt that waits for them.
//!
//! It speaks domain types, so that tests put scripted agents in place of gRPC streams. One live connection per holder: a second one ends
//! the first, and an attempt that is under way learns that its holder's link dropped. It verifies nothing: signatures are the attempt's to check.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commun_domain::signed::SignedDocument;
use commun_domain::{QueryId, Refusal, WireCode};
use tokio::sync::mpsc;

/// Most messages that wait for one agent. One attempt needs three, and an agent with more waiting no longer reads.
pub const MAX_OUTGOING: usize = 64;

/// Most messages of one holder that wait for one attempt: accept, five rounds or an answer, failure, refund, and some to spare.
pub const MAX_INCOMING_PER_HOLDER: usize = 12;

/// Most streams of masked cells that one holder may begin in one attempt: one, and some that broke off with its connection.
pub const MAX_STREAMS_PER_HOLDER: usize = 4;

/// What an agent is told.
#[derive(Clone, Debug)]
pub enum ToAgent {
    /// OFFER.
    Offer(Arc<Offer>),
    /// MANIFEST, canonical bytes.
    Manifest(Arc<[u8]>),
    /// What a member is sent at the start of a round of secure aggregation.
    Round {
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
        /// Canonical bytes, the same ones for many members in most rounds.
        message: Arc<[u8]>,
    },
    /// The attempt has ended.
    Cancel {
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
        /// Why.
        refusal: Refusal,
    },
}

/// OFFER; times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The signed query, canonical bytes.
    pub query: Vec<u8>,
    /// Attempt, from 1.
    pub attempt: u8,
    /// What holders released in the attempt before, canonical bytes: of a second attempt, over an open group key.
    pub names: Option<Arc<[u8]>>,
    /// Replies count until then.
    pub reply_deadline_ms: u64,
    /// The manifest comes by then or not at all.
    pub manifest_deadline_ms: u64,
    /// From the manifest to the slot, at least, in milliseconds.
    pub slot_wait_ms: u64,
}

/// What an agent says in an attempt, not yet verified.
#[derive(Clone, Debug)]
pub enum FromAgent {
    /// A signed ACCEPT or REFUSE.
    Reply(SignedDocument),
    /// The one answer.
    Answer {
        /// Signed head.
        head: SignedDocument,
        /// Noisy cells.
        values: Vec<u8>,
    },
    /// R1, R2, R4 or R5 of secure aggregation.
    Round(Vec<u8>),
    /// R3: masked cells.
    Cells {
        /// Signed head.
        head: Vec<u8>,
        /// As many as the attempt has.
        cells: Vec<u64>,
    },
    /// No answer will come; the charge stays, unless it is taken back.
    Failed {
        /// Stable code.
        code: WireCode,
        /// Public reason.
        message: String,
        /// Whose sealed share did not open, if that is why.
        complaint: Option<u32>,
    },
    /// The holder took its RESERVE back.
    Refunded,
    /// Its link dropped.
    Disconnected,
}

/// What an agent stated about itself, for the status.
#[derive(Clone, Debug, Default)]
pub struct AgentInfo {
    /// Log size up to which it has read.
    pub log_read_to: u64,
    /// Its clock minus ours, in milliseconds.
    pub clock_skew_ms: i64,
    /// Version of its software.
    pub software: String,
}

struct Connected {
    generation: u64,
    outgoing: mpsc::Sender<ToAgent>,
    info: AgentInfo,
}

/// The way into an inbox: for the attempt's own holders only, each with a count of messages of its own, so that none can take the place
/// of another's.
struct Door {
    sender: mpsc::Sender<(String, FromAgent)>,
    left: HashMap<String, usize>,
    /// How many masked cells each holder may send now, if any.
    cells: Option<usize>,
    /// Holders whose cells are arriving: one stream each.
    arriving: HashSet<String>,
    /// How many more streams of cells each may begin.
    streams: HashMap<String, usize>,
}

impl Door {
    fn put(&mut self, holder: &str, message: FromAgent) -> bool {
        let Some(left) = self.left.get_mut(holder).filter(|left| **left > 0) else { return false };
        *left -= 1;
        self.sender.try_send((holder.to_owned(), message)).is_ok()
    }
}

#[derive(Default)]
struct Registry {
    generation: u64,
    connected: HashMap<String, Connected>,
    inboxes: HashMap<(QueryId, u8), Door>,
}

/// All connected agents. Clones share one registry.
#[derive(Clone, Default)]
pub struct Agents(Arc<Mutex<Registry>>);

/// One agent's connection, which ends when this is dropped.
pub struct Connection {
    agents: Agents,
    holder: String,
    generation: u64,
    /// What to send; ends when a newer connection of this holder took over.
    pub outgoing: mpsc::Receiver<ToAgent>,
}

/// Where the messages of one attempt arrive; closed when this is dropped.
pub struct Inbox {
    agents: Agents,
    key: (QueryId, u8),
    messages: mpsc::Receiver<(String, FromAgent)>,
}

impl Agents {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Every change below is one insertion or removal, so that a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a holder's agent, in place of an earlier connection.
    pub fn connect(&self, holder: &str, info: AgentInfo) -> Connection {
        let (sender, outgoing) = mpsc::channel(MAX_OUTGOING);
        let mut registry = self.lock();
        registry.generation += 1;
        let generation = registry.generation;
        let before = registry.connected.insert(holder.to_owned(), Connected { generation, outgoing: sender, info });
        if before.is_some() {
            registry.tell_all(holder, &FromAgent::Disconnected);
        }
        Connection { agents: self.clone(), holder: holder.to_owned(), generation, outgoing }
    }

    /// Whether a holder's agent is connected.
    pub fn is_connected(&self, holder: &str) -> bool {
        self.lock().connected.contains_key(holder)
    }

    /// How far a connected agent's clock is ahead, in milliseconds.
    pub(crate) fn note_skew(&self, holder: &str, skew_ms: i64) {
        if let Some(agent) = self.lock().connected.get_mut(holder) {
            agent.info.clock_skew_ms = skew_ms;
        }
    }

    /// What a connected agent stated last.
    pub fn info(&self, holder: &str) -> Option<AgentInfo> {
        self.lock().connected.get(holder).map(|agent| agent.info.clone())
    }

    /// Hands a message to a holder's agent; false when it is not connected or no longer reads.
    pub fn send(&self, holder: &str, message: ToAgent) -> bool {
        self.lock().connected.get(holder).is_some_and(|agent| agent.outgoing.try_send(message).is_ok())
    }

    /// Opens the inbox of an attempt with these holders.
    pub fn open<'a>(&self, query: QueryId, attempt: u8, holders: impl Iterator<Item = &'a str>) -> Inbox {
        // One message each is kept for the end of the connection.
        let left: HashMap<String, usize> = holders.map(|holder| (holder.to_owned(), MAX_INCOMING_PER_HOLDER)).collect();
        let (sender, messages) = mpsc::channel((MAX_INCOMING_PER_HOLDER + 1).saturating_mul(left.len().max(1)));
        self.lock().inboxes.insert((query, attempt), Door { sender, left, cells: None, arriving: HashSet::new(), streams: HashMap::new() });
        Inbox { agents: self.clone(), key: (query, attempt), messages }
    }

    /// Lets the attempt's holders send so many masked cells each, or no more.
    pub fn expect_cells(&self, query: QueryId, attempt: u8, cells: Option<usize>) {
        if let Some(door) = self.lock().inboxes.get_mut(&(query, attempt)) {
            door.cells = cells;
        }
    }

    /// A holder's stream of masked cells begins; `None` when no attempt waits for it, another stream of it is there, or too many broke off.
    pub fn begin_cells(&self, holder: &str, query: QueryId, attempt: u8) -> Option<Arriving> {
        let mut registry = self.lock();
        let door = registry.inboxes.get_mut(&(query, attempt)).filter(|door| door.left.contains_key(holder))?;
        let expected = door.cells?;
        let streams = door.streams.entry(holder.to_owned()).or_insert(MAX_STREAMS_PER_HOLDER);
        let begun = *streams > 0 && door.arriving.insert(holder.to_owned());
        *streams -= usize::from(begun);
        begun.then(|| Arriving { agents: self.clone(), holder: holder.to_owned(), key: (query, attempt), expected })
    }

    /// Brings a holder's message to the attempt that waits for it; false when none does, or the holder has sent more than the protocol has.
    pub fn deliver(&self, holder: &str, query: QueryId, attempt: u8, message: FromAgent) -> bool {
        self.lock().inboxes.get_mut(&(query, attempt)).is_some_and(|door| door.put(holder, message))
    }
}

impl Registry {
    fn tell_all(&self, holder: &str, message: &FromAgent) {
        for door in self.inboxes.values().filter(|door| door.left.contains_key(holder)) {
            // Beside the count: a holder that has used it up still ends. Full only when it connects again and again, and then it knows.
            let _ = door.sender.try_send((holder.to_owned(), message.clone()));
        }
    }
}

impl Connection {
    /// The agent has read, recomputed and folded the log up to this size.
    pub fn read_to(&self, size: u64) {
        if let Some(agent) = self.agents.lock().connected.get_mut(&self.holder)
            && agent.generation == self.generation
        {
            agent.info.log_read_to = size;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut registry = self.agents.lock();
        if registry.connected.get(&self.holder).is_some_and(|agent| agent.generation == self.generation) {
            registry.connected.remove(&self.holder);
            registry.tell_all(&self.holder, &FromAgent::Disconnected);
        }
    }
}

/// The stream of one holder's masked cells, until it is dropped.
pub struct Arriving {
    agents: Agents,
    holder: String,
    key: (QueryId, u8),
    /// How many cells it must have.
    pub expected: usize,
}

impl Arriving {
    /// Whether the attempt still waits for it.
    pub fn is_awaited(&self) -> bool {
        self.agents.lock().inboxes.get(&self.key).is_some_and(|door| door.cells == Some(self.expected))
    }

    /// All cells are here.
    pub fn finish(self, head: Vec<u8>, cells: Vec<u64>) -> bool {
        self.agents.deliver(&self.holder, self.key.0, self.key.1, FromAgent::Cells { head, cells })
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(door) = self.agents.lock().inboxes.get_mut(&self.key) {
            door.arriving.remove(&self.holder);
        }
    }
}

impl Inbox {
    /// The next message, with the holder's name.
    pub async fn next(&mut self) -> Option<(String, FromAgent)> {
        self.messages.recv().await
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.agents.lock().inboxes.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const QUERY: QueryId = QueryId::from_bytes([1; 32]);

    fn cancel() -> ToAgent {
        ToAgent::Cancel { query: QUERY, attempt: 1, refusal: Refusal::new(WireCode::Cancelled, "no", "none") }
    }

    #[tokio::test]
    async fn a_second_connection_of_a_holder_ends_the_first_and_attempts_learn_of_it() {
        let agents = Agents::default();
        let mut inbox = agents.open(QUERY, 1, ["a"].into_iter());
        let mut first = agents.connect("a", AgentInfo::default());
        let mut second = agents.connect("a", AgentInfo::default());
        assert!(first.outgoing.recv().await.is_none());
        assert!(matches!(inbox.next().await, Some((name, FromAgent::Disconnected)) if name == "a"));
        // The first one's end is not the second one's.
        drop(first);
        assert!(agents.is_connected("a"));
        assert!(agents.send("a", cancel()));
        assert!(second.outgoing.recv().await.is_some());
    }

    #[tokio::test]
    async fn a_dropped_connection_is_told_to_every_attempt_and_takes_no_more_messages() {
        let agents = Agents::default();
        let mut inbox = agents.open(QUERY, 1, ["a"].into_iter());
        drop(agents.connect("a", AgentInfo::default()));
        assert!(matches!(inbox.next().await, Some((_, FromAgent::Disconnected))));
        assert!(!agents.send("a", cancel()));
    }

    #[tokio::test]
    async fn a_message_reaches_only_the_attempt_that_it_names() {
        let agents = Agents::default();
        let inbox = agents.open(QUERY, 1, ["a"].into_iter());
        assert!(!agents.deliver("a", QUERY, 2, FromAgent::Refunded));
        assert!(agents.deliver("a", QUERY, 1, FromAgent::Refunded));
        drop(inbox);
        assert!(!agents.deliver("a", QUERY, 1, FromAgent::Refunded));
    }

    #[tokio::test]
    async fn a_holder_that_floods_an_attempt_takes_no_other_holders_place() {
        let agents = Agents::default();
        let mut inbox = agents.open(QUERY, 1, ["a", "b"].into_iter());
        assert!(!agents.deliver("stranger", QUERY, 1, FromAgent::Refunded));
        for sent in 0..1000 {
            assert_eq!(agents.deliver("a", QUERY, 1, FromAgent::Refunded), sent < MAX_INCOMING_PER_HOLDER);
        }
        assert!(agents.deliver("b", QUERY, 1, FromAgent::Refunded));
        drop(agents.connect("b", AgentInfo::default()));
        let mut from_b = Vec::new();
        for _ in 0..MAX_INCOMING_PER_HOLDER + 2 {
            let (name, message) = inbox.next().await.unwrap();
            if name == "b" {
                from_b.push(message);
            }
        }
        assert!(matches!(from_b.as_slice(), [FromAgent::Refunded, FromAgent::Disconnected]));
    }

    #[tokio::test]
    async fn cells_are_taken_when_they_are_awaited_from_a_member_in_one_stream_at_a_time() {
        let agents = Agents::default();
        let mut inbox = agents.open(QUERY, 1, ["a", "b"].into_iter());
        assert!(agents.begin_cells("a", QUERY, 1).is_none());
        agents.expect_cells(QUERY, 1, Some(2));
        assert!(agents.begin_cells("stranger", QUERY, 1).is_none() && agents.begin_cells("a", QUERY, 2).is_none());
        let first = agents.begin_cells("a", QUERY, 1).unwrap();
        assert!(agents.begin_cells("a", QUERY, 1).is_none() && agents.begin_cells("b", QUERY, 1).is_some());
        drop(first);
        let again = agents.begin_cells("a", QUERY, 1).unwrap();
        assert!(again.is_awaited() && again.finish(vec![1], vec![2, 3]));
        assert!(matches!(inbox.next().await, Some((_, FromAgent::Cells { cells, .. })) if cells == [2, 3]));
        let late = agents.begin_cells("b", QUERY, 1).unwrap();
        agents.expect_cells(QUERY, 1, None);
        assert!(!late.is_awaited());
        // Streams that break off are counted.
        agents.expect_cells(QUERY, 1, Some(2));
        let begun = (0..10).filter(|_| agents.begin_cells("a", QUERY, 1).is_some()).count();
        assert_eq!(begun, MAX_STREAMS_PER_HOLDER - 2);
    }

    #[test]
    fn an_agent_that_does_not_read_is_not_waited_for() {
        let agents = Agents::default();
        let _connection = agents.connect("a", AgentInfo::default());
        for _ in 0..MAX_OUTGOING {
            assert!(agents.send("a", cancel()));
        }
        assert!(!agents.send("a", cancel()));
    }
}
