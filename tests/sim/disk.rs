//! A node's disk: what a process leaves behind when it dies, and what the machine leaves.
//!
//! A file has two images: what was written, which outlasts the process, and what is known to lie on the disk, which
//! outlasts the machine together with any part of what was written later. The process may die between any two writes:
//! then the disk is frozen, and what the rest of the call writes goes nowhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use aioconnectors::core::{Opened, RingName};
use aioconnectors::ring::header::{Header, Identity, Kind, PAGE};
use aioconnectors::ring::recover::recover;
use aioconnectors::ring::{Checkpoint, Durable, Memory};
use fastrand::Rng;

/// What a disk writes as one.
const SECTOR: usize = 512;

/// The file of the places.
const PLACES: &str = "places";

/// The file of the subscriptions.
const SUBSCRIPTIONS: &str = "subscriptions";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image {
    pages: Vec<u8>,
    data: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct File {
    name: Option<RingName>,
    /// Bytes of data, also while it is open.
    length: usize,
    written: Image,
    /// What outlasts the machine for certain.
    kept: Image,
    /// It was removed, which the machine may have forgotten.
    removed: bool,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, File>,
    /// Bytes that there is room for.
    room: usize,
    /// Opening and syncing fail.
    ails: bool,
    /// Writes until the process dies.
    fuse: Option<u32>,
    frozen: bool,
    rng: Rng,
}

impl State {
    /// Something is about to be written.
    fn burn(&mut self) {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.saturating_sub(1);
            if *fuse == 0 {
                (self.frozen, self.fuse) = (true, None);
            }
        }
    }
}

/// All files of a node, as it finds them whenever it starts.
#[derive(Debug)]
pub struct Disk(Rc<RefCell<State>>);

/// The files as they were once.
#[derive(Clone, Debug)]
pub struct Backup(BTreeMap<String, File>);

impl Disk {
    pub fn new(seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        let files = BTreeMap::new();
        Self(Rc::new(RefCell::new(State { files, room: usize::MAX, ails: false, fuse: None, frozen: false, rng })))
    }

    /// The process dies when so many more writes were done.
    pub fn set_fuse(&self, writes: u32) {
        self.0.borrow_mut().fuse = Some(writes);
    }

    /// Something else is about to be written on it; false if the process is dead.
    pub fn touch(&self) -> bool {
        let mut state = self.0.borrow_mut();
        state.burn();
        !state.frozen
    }

    /// Another way to the same disk.
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// The process lives on.
    pub fn calm(&self) {
        self.0.borrow_mut().fuse = None;
    }

    pub fn is_frozen(&self) -> bool {
        self.0.borrow().frozen
    }

    /// Whether there is trouble: no room for more, or errors.
    pub fn set_trouble(&self, is_full: bool, ails: bool) {
        let mut state = self.0.borrow_mut();
        let used = state.files.values().map(|f| f.length).sum();
        state.room = if is_full { used } else { usize::MAX };
        state.ails = ails;
    }

    /// The files that are there when the process starts.
    pub fn names(&self) -> Vec<RingName> {
        self.0.borrow().files.values().filter(|f| !f.removed).filter_map(|f| f.name.clone()).collect()
    }

    pub fn backup(&self) -> Backup {
        let state = self.0.borrow();
        Backup(state.files.iter().filter(|(_, f)| !f.removed).map(|(n, f)| (n.clone(), f.clone())).collect())
    }

    /// The process has died, or ended, and all that it had open is dropped. With `power` the machine has died.
    pub fn after_death(&self, power: bool) {
        let state = &mut *self.0.borrow_mut();
        (state.frozen, state.fuse) = (false, None);
        for file in state.files.values_mut() {
            if power {
                file.written = mix(&mut state.rng, &file.kept, &file.written);
                file.removed &= state.rng.bool();
                file.kept = file.written.clone();
            }
        }
        state.files.retain(|_, file| !file.removed);
    }

    pub fn restore(&self, backup: &Backup) {
        self.0.borrow_mut().files = backup.0.clone();
    }

    /// The memory of the places.
    pub fn places(&self, synced: bool) -> Memory {
        self.table(PLACES, synced)
    }

    /// That of the subscriptions.
    pub fn subscriptions(&self, synced: bool) -> Memory {
        self.table(SUBSCRIPTIONS, synced)
    }

    fn table(&self, name: &str, synced: bool) -> Memory {
        let mut state = self.0.borrow_mut();
        let data = state.files.entry(name.to_owned()).or_default().written.data.clone();
        drop(state);
        Memory::Durable(Box::new(self.handle(name, data, Vec::new(), None, (0, Checkpoint::default()), synced)))
    }

    fn handle(
        &self,
        name: &str,
        data: Vec<u8>,
        pages: Vec<u8>,
        identity: Option<(u64, Identity)>,
        (generation, saved): (u64, Checkpoint),
        synced: bool,
    ) -> Handle {
        let (state, name) = (self.0.clone(), name.to_owned());
        Handle { state, name, data, pages, identity, generation, saved, synced, captured: false }
    }

    /// Opens a queue's file, or makes it.
    pub fn open(&self, connector: &str, name: &RingName, synced: bool) -> Result<Opened, String> {
        let identity = identity(connector, name);
        let key = name.to_string();
        let mut state = self.0.borrow_mut();
        if state.ails && state.rng.bool() {
            return Err("input/output error".to_owned());
        }
        let epoch = state.rng.u64(..);
        if state.files.get(&key).is_some_and(|file| file.removed) {
            state.files.remove(&key);
        }
        let file = state.files.entry(key.clone()).or_default();
        file.name = Some(name.clone());
        if file.written.pages.is_empty() {
            let page = |generation| {
                let (checkpoint, identity) = (Checkpoint::default(), identity.clone());
                let header = Header { generation, epoch, capacity: 0, checkpoint, identity };
                header.to_page().unwrap_or_else(|| panic!("the identity is short"))
            };
            file.written.pages = [page(0), page(1)].concat();
            file.kept = file.written.clone();
        }
        let Image { pages, data } = file.written.clone();
        drop(state);
        let found = recover(&pages, &data, Some(&identity));
        let found = found.unwrap_or_else(|damage| panic!("{connector}: the file of {name} is damaged: {damage}"));
        let recovered = found.unwrap_or_else(|| panic!("{connector}: the file of {name} is zero"));
        let Header { epoch, generation, checkpoint, .. } = recovered.header;
        let memory =
            Box::new(self.handle(&key, data, pages, Some((epoch, identity)), (generation, checkpoint), synced));
        Ok(Opened { memory, recovered })
    }
}

fn identity(connector: &str, name: &RingName) -> Identity {
    let (kind, peer, message_type) = match name {
        RingName::Outbox { peer, message_type } => (Kind::Outbox, peer.clone(), message_type.clone()),
        RingName::Inbox { message_type } => (Kind::Inbox, String::new(), message_type.clone()),
        RingName::Topic { message_type } => (Kind::Topic, String::new(), message_type.clone()),
    };
    Identity { kind, connector: connector.to_owned(), peer, message_type }
}

/// Gives a file's data another length; what is new is zero.
fn lengthen(data: &mut Vec<u8>, length: usize) {
    let mut new = vec![0; length];
    let kept = length.min(data.len());
    new[..kept].copy_from_slice(&data[..kept]);
    *data = new;
}

/// What is left of what was written: of each sector the old or the new.
fn mix(rng: &mut Rng, old: &Image, new: &Image) -> Image {
    let mut part = |old: &[u8], new: &[u8], piece: usize| {
        let mut out = new.to_vec();
        let style = rng.u8(..4);
        for (at, sector) in out.chunks_mut(piece).enumerate() {
            let keeps_old = match style {
                0 => true,
                1 => false,
                _ => rng.bool(),
            };
            if keeps_old {
                let before = old.get(at * piece..).unwrap_or_default();
                let count = before.len().min(sector.len());
                sector.fill(0);
                sector[..count].copy_from_slice(&before[..count]);
            }
        }
        out
    };
    Image { pages: part(&old.pages, &new.pages, PAGE), data: part(&old.data, &new.data, SECTOR) }
}

/// An open file.
#[derive(Debug)]
struct Handle {
    state: Rc<RefCell<State>>,
    name: String,
    data: Vec<u8>,
    pages: Vec<u8>,
    /// A queue's epoch, and whose it is.
    identity: Option<(u64, Identity)>,
    generation: u64,
    /// The last checkpoint.
    saved: Checkpoint,
    synced: bool,
    /// The process is dead, and what it left of this file is kept.
    captured: bool,
}

impl Handle {
    fn image(&self) -> Image {
        Image { pages: self.pages.clone(), data: self.data.clone() }
    }

    fn capture(&mut self) {
        if std::mem::replace(&mut self.captured, true) {
            return;
        }
        let image = self.image();
        if let Some(file) = self.state.borrow_mut().files.get_mut(&self.name) {
            (file.length, file.written) = (image.data.len(), image);
        }
    }

    /// Before each write: the process may be dead from here on.
    fn before_write(&mut self) {
        self.state.borrow_mut().burn();
        if self.state.borrow().frozen {
            self.capture();
        }
    }

    /// Files that are open have their size known here.
    fn tell_size(&mut self) {
        if self.captured {
            return;
        }
        let length = self.data.len();
        let mut state = self.state.borrow_mut();
        if let Some(file) = state.files.get_mut(&self.name) {
            file.length = length;
            // A file's length is on the disk before what lies in it.
            lengthen(&mut file.kept.data, if self.synced { length } else { 0 });
        }
    }

    /// The system writes some of it by itself.
    fn write_back(&mut self) {
        if !self.synced || self.captured {
            return;
        }
        let image = self.image();
        let state = &mut *self.state.borrow_mut();
        if state.rng.u8(..8) == 0
            && let Some(file) = state.files.get_mut(&self.name)
        {
            file.kept = mix(&mut state.rng, &file.kept, &image);
        }
    }
}

impl Durable for Handle {
    fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.before_write();
        &mut self.data
    }

    fn grow(&mut self, capacity: usize) -> Result<(), String> {
        self.before_write();
        {
            let state = self.state.borrow();
            let used: usize = state.files.values().map(|f| f.length).sum();
            if used.saturating_sub(self.data.len()) + capacity > state.room {
                return Err("no space left on device".to_owned());
            }
        }
        if capacity > self.data.len() {
            lengthen(&mut self.data, capacity);
        }
        self.tell_size();
        Ok(())
    }

    fn shrink(&mut self) {
        // What was saved must not speak of what is cut off.
        let Checkpoint { records, next_sequence, released_to, .. } = self.saved;
        if records > 0 {
            return;
        }
        self.save(&Checkpoint { next_sequence, released_to, ..Checkpoint::default() });
        self.before_write();
        self.data.clear();
        self.tell_size();
    }

    fn sync(&mut self) -> Result<(), String> {
        self.before_write();
        if self.captured {
            return Ok(());
        }
        let image = self.image();
        let state = &mut *self.state.borrow_mut();
        if state.ails && state.rng.bool() {
            return Err("input/output error".to_owned());
        }
        if let Some(file) = state.files.get_mut(&self.name).filter(|_| self.synced) {
            file.kept = image;
        }
        Ok(())
    }

    fn is_synced(&self) -> bool {
        self.synced
    }

    fn save(&mut self, checkpoint: &Checkpoint) {
        self.before_write();
        self.write_back();
        let Some((epoch, identity)) = self.identity.clone() else { panic!("places have no checkpoint") };
        (self.generation, self.saved) = (self.generation + 1, *checkpoint);
        let capacity = self.data.len() as u64;
        let header = Header { generation: self.generation, epoch, capacity, checkpoint: *checkpoint, identity };
        let page = header.to_page().unwrap_or_else(|| panic!("the identity is short"));
        assert_eq!(Header::read(&page), Ok(header), "what is saved can be");
        let at = (self.generation % 2) as usize * PAGE;
        self.pages[at..at + PAGE].copy_from_slice(&page);
    }

    fn cool(&mut self, range: Range<usize>) {
        assert!(range.start < range.end && range.end <= self.data.len(), "it is within the data");
    }

    fn quarantine(&mut self) -> Result<String, String> {
        panic!("nothing is damaged: {}", self.name)
    }

    fn discard(mut self: Box<Self>) {
        self.before_write();
        if !self.captured {
            self.capture();
            if let Some(file) = self.state.borrow_mut().files.get_mut(&self.name) {
                file.removed = true;
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.capture();
        }
    }
}
