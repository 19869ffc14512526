//! The death of processes and machines, disks that fail, and backups that are put back.

use aioconnectors::core::OnFull;

use crate::world::World;

impl World {
    /// A process, or its machine, dies now, or soon, in the middle of something.
    pub fn doom_some(&mut self) {
        let node = self.rng.usize(..self.nodes.len());
        if self.nodes[node].stopped {
            return;
        }
        let power = self.profile.power && self.rng.bool();
        let (way, moments, writes) = (self.rng.u8(..4), self.rng.u32(1..12), self.rng.u32(1..120));
        let entry = &mut self.nodes[node];
        entry.power = power;
        match way {
            0 => self.crash(node),
            1 => entry.doom = Some(moments),
            _ => entry.disk.set_fuse(writes),
        }
    }

    /// Something was done in the course of a turn: a good moment to die.
    pub fn moment(&mut self, node: usize) {
        let entry = &mut self.nodes[node];
        if let Some(left) = &mut entry.doom
            && !entry.stopped
        {
            *left -= 1;
            if *left == 0 {
                self.crash(node);
            }
        }
    }

    /// The process is dead.
    pub fn crash(&mut self, node: usize) {
        let power = std::mem::take(&mut self.nodes[node].power);
        self.say(&format_args!("{} dies{}", self.nodes[node].id, if power { " with its machine" } else { "" }));
        let half = std::mem::take(&mut self.nodes[node].busy_with);
        self.model.crash(node, power, &half);
        for message in self.model.messages.iter_mut().filter(|m| m.from == node) {
            let policy = self.profile.on_full.get(message.draft.message_type);
            message.unordered |= policy == Some(&OnFull::DropOldest);
        }
        self.nodes[node].crashes += 1;
        self.end_process(node, true);
        self.nodes[node].disk.after_death(power);
        if power {
            let rng = std::cell::RefCell::new(&mut self.rng);
            self.nodes[node].files.lose_tails(|length| rng.borrow_mut().usize(..=length));
        }
    }

    /// A disk begins to fail, or is well again.
    pub fn trouble_some(&mut self) {
        let node = self.rng.usize(..self.nodes.len());
        let (is_full, ails) = [(true, false), (false, true), (false, false), (false, false)][self.rng.usize(..4)];
        self.nodes[node].disk.set_trouble(is_full, ails);
    }

    /// A copy is made of a node that does not run, or the node is set back to it.
    pub fn back_up_some(&mut self) {
        let node = self.rng.usize(..self.nodes.len());
        if !self.nodes[node].stopped {
            return;
        }
        let entry = &mut self.nodes[node];
        match entry.backup.take() {
            None => entry.backup = Some(entry.disk.backup()),
            Some(backup) => {
                entry.disk.restore(&backup);
                entry.set_back = true;
                // Numbers of its inboxes are given for the second time: apps that know by them what they had must forget.
                for receiver in self.receivers.iter_mut().filter(|receiver| receiver.node == node) {
                    receiver.had = None;
                }
                self.say(&format_args!("{} is set back", self.nodes[node].id));
                for message in self.model.messages.iter_mut().filter(|m| m.from == node || m.to == Some(node)) {
                    message.wild = true;
                }
            }
        }
    }
}
