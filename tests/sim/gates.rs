//! Whom a server asks about its clients: each takes its time, and lets most of them in.

use std::time::{Duration, Instant};

use aioconnectors::core::{Gate, Gates, Id};

use crate::world::World;

/// All gates, in the worlds that have them.
pub const ALL: Gates =
    Gates { whitelist: true, authentication: true, certificate: true, timeout: Duration::from_secs(10) };

/// Longest time for an answer, milliseconds.
const THINKS_MAX: u64 = 2000;

/// A question whose answer is on its way.
#[derive(Debug)]
pub struct Question {
    pub at: Instant,
    pub node: usize,
    id: Id,
    gate: Gate,
    allows: bool,
}

impl World {
    pub fn ask_gate(&mut self, node: usize, id: Id, gate: Gate) {
        let wait = [0, 1, THINKS_MAX][self.rng.usize(..3)];
        let at = self.now + Duration::from_millis(self.rng.u64(0..=wait));
        let allows = self.fair_weather || self.rng.u8(..8) > 0;
        self.questions.push(Question { at, node, id, gate, allows });
    }

    /// The answer comes, perhaps to a link that has gone meanwhile.
    pub fn answer_questions(&mut self) -> bool {
        let Some(index) = self.questions.iter().position(|q| q.at <= self.now) else { return false };
        let Question { node, id, gate, allows, .. } = self.questions.remove(index);
        let current = self.nodes[node].ends.get(&id).copied();
        let answer = if allows { Ok(()) } else { Err("not today".to_owned()) };
        self.nodes[node].core.answered(id, gate, answer, self.now);
        self.outputs(node, current);
        true
    }
}
