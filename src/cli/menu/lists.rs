//! The menu's commands about the lists of clients.

use super::{Chosen, Menu, Stop};
use crate::core::access::Entry;
use crate::remote::{ClientEntry, ClientList};

impl Menu<'_> {
    /// Adds an entry to a list, or removes one.
    pub(super) fn change_list(&mut self, chosen: &Chosen, list: ClientList, adds: bool) -> Result<(), Stop> {
        let entries = match chosen.remote.clients(list) {
            Ok(entries) => entries,
            Err(error) => return self.done(Err(error)),
        };
        self.say(&format!("\n{} :", list.word()))?;
        for entry in &entries {
            let (ClientEntry::Id(text) | ClientEntry::Ip(text)) = entry;
            self.say(&format!("  {text}"))?;
        }
        if entries.is_empty() {
            self.say("  empty")?;
        }
        self.show_peers(chosen)?;
        let doing = match (list, adds) {
            (ClientList::Black, true) => "blacklist",
            (ClientList::White, true) => "whitelist",
            (ClientList::Black, false) => "remove from blacklist",
            (ClientList::White, false) => "remove from whitelist",
        };
        let typed = self.ask(&format!(
            "Please type the client name (or regex),\nor the client IP address/subnet, you\nwould like to {doing},\n\
             or q to quit"
        ))?;
        if typed == "q" || typed.is_empty() || !self.is_sure(&format!("{doing}\n{typed}"))? {
            return Ok(());
        }
        let entry = if Entry::of_ip(&typed).is_ok() { ClientEntry::Ip(typed) } else { ClientEntry::Id(typed) };
        self.done(match adds {
            true => chosen.remote.add_client(list, &entry),
            false => chosen.remote.remove_client(list, &entry),
        })
    }
}
