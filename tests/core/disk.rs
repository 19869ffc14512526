//! Queues in files that are memory of the test: they outlive the connector.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use aioconnectors::core::{Opened, RingName};
use aioconnectors::ring::header::{DATA_AT, Header, Identity, Kind, PAGE};
use aioconnectors::ring::recover::{Recovered, recover};
use aioconnectors::ring::{Checkpoint, Durable, Memory};

/// A file, as it is left when the process dies.
#[derive(Debug, Default)]
pub struct File {
    pages: Vec<u8>,
    data: Vec<u8>,
    pub discarded: bool,
}

/// What goes wrong with all files.
#[derive(Debug, Default)]
struct Trouble {
    open: Option<String>,
    grow: Option<String>,
    sync: Option<String>,
}

/// A folder of files.
#[derive(Clone, Debug, Default)]
pub struct Disks {
    files: Rc<RefCell<BTreeMap<RingName, Rc<RefCell<File>>>>>,
    places: Rc<RefCell<File>>,
    subscriptions: Rc<RefCell<File>>,
    trouble: Rc<RefCell<Trouble>>,
    /// Files that were asked for, in their order.
    pub asked: Rc<RefCell<Vec<RingName>>>,
}

impl Disks {
    pub fn cannot_open(&self, why: Option<&str>) {
        self.trouble.borrow_mut().open = why.map(str::to_owned);
    }

    pub fn cannot_grow(&self, why: Option<&str>) {
        self.trouble.borrow_mut().grow = why.map(str::to_owned);
    }

    pub fn cannot_sync(&self, why: Option<&str>) {
        self.trouble.borrow_mut().sync = why.map(str::to_owned);
    }

    /// The files that are there.
    pub fn names(&self) -> Vec<RingName> {
        let files = self.files.borrow();
        files.iter().filter(|(_, file)| !file.borrow().discarded).map(|(name, _)| name.clone()).collect()
    }

    /// Damages a file: the first byte of this text in its data is another.
    pub fn damage(&self, name: &RingName, text: &[u8]) {
        let files = self.files.borrow();
        let data = &mut files[name].borrow_mut().data;
        let at = data.windows(text.len()).position(|bytes| bytes == text).expect("the text is there");
        data[at] ^= 1;
    }

    /// A copy of all files as they are now.
    pub fn backup(&self) -> Disks {
        let copy = |file: &Rc<RefCell<File>>| {
            let file = file.borrow();
            Rc::new(RefCell::new(File {
                pages: file.pages.clone(),
                data: file.data.clone(),
                discarded: file.discarded,
            }))
        };
        let files = self.files.borrow().iter().map(|(name, file)| (name.clone(), copy(file))).collect();
        let (places, subscriptions) = (copy(&self.places), copy(&self.subscriptions));
        Disks { files: Rc::new(RefCell::new(files)), places, subscriptions, ..Disks::default() }
    }

    pub fn places(&self) -> Memory {
        self.table(&self.places)
    }

    pub fn subscriptions(&self) -> Memory {
        self.table(&self.subscriptions)
    }

    fn table(&self, file: &Rc<RefCell<File>>) -> Memory {
        let data = file.borrow().data.clone();
        let disk = Disk { data, header: None, file: Rc::clone(file), trouble: Rc::clone(&self.trouble) };
        Memory::Durable(Box::new(disk))
    }

    /// Opens the file of a queue, or makes it.
    pub fn open(&self, name: &RingName, epoch: u64) -> Result<Opened, String> {
        self.asked.borrow_mut().push(name.clone());
        if let Some(why) = &self.trouble.borrow().open {
            return Err(why.clone());
        }
        let mut files = self.files.borrow_mut();
        let file = Rc::clone(files.entry(name.clone()).or_default());
        if file.borrow().discarded {
            *file.borrow_mut() = File::default();
        }
        let found = {
            let file = file.borrow();
            recover(&file.pages, &file.data, Some(&identity(name))).map_err(|damage| damage.to_string())?
        };
        let recovered = found.unwrap_or_else(|| {
            let checkpoint = Checkpoint::default();
            let header = Header { generation: 0, epoch, capacity: 0, checkpoint, identity: identity(name) };
            Recovered { header, checkpoint, tail_records: 0, origins: Vec::new() }
        });
        let data = file.borrow().data.clone();
        let header = Some(recovered.header.clone());
        Ok(Opened { memory: Box::new(Disk { data, header, file, trouble: Rc::clone(&self.trouble) }), recovered })
    }
}

fn identity(name: &RingName) -> Identity {
    let (kind, peer, message_type) = match name.clone() {
        RingName::Outbox { peer, message_type } => (Kind::Outbox, peer, message_type),
        RingName::Inbox { message_type } => (Kind::Inbox, String::new(), message_type),
        RingName::Topic { message_type } => (Kind::Topic, String::new(), message_type),
    };
    Identity { kind, connector: "test".to_owned(), peer, message_type }
}

/// A file that is mapped: what was written is in it as soon as it is let go of.
#[derive(Debug)]
struct Disk {
    data: Vec<u8>,
    /// What was saved last; none for the table of places.
    header: Option<Header>,
    file: Rc<RefCell<File>>,
    trouble: Rc<RefCell<Trouble>>,
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.file.borrow_mut().data = std::mem::take(&mut self.data);
    }
}

impl Durable for Disk {
    fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    fn grow(&mut self, capacity: usize) -> Result<(), String> {
        if let Some(why) = &self.trouble.borrow().grow {
            return Err(why.clone());
        }
        self.data.resize(capacity, 0);
        Ok(())
    }

    fn shrink(&mut self) {
        self.data = Vec::new();
    }

    fn sync(&mut self) -> Result<(), String> {
        self.trouble.borrow().sync.clone().map_or(Ok(()), Err)
    }

    fn save(&mut self, checkpoint: &Checkpoint) {
        let Some(header) = &mut self.header else { return };
        header.generation += 1;
        (header.capacity, header.checkpoint) = (self.data.len() as u64, *checkpoint);
        let at = (header.generation % 2) as usize * PAGE;
        let mut file = self.file.borrow_mut();
        file.pages.resize(DATA_AT, 0);
        file.pages[at..at + PAGE].copy_from_slice(&header.to_page().expect("the identity is short"));
    }

    fn cool(&mut self, _: Range<usize>) {}

    fn quarantine(&mut self) -> Result<String, String> {
        Ok("copy.bad-1".to_owned())
    }

    fn discard(self: Box<Self>) {
        self.file.borrow_mut().discarded = true;
    }
}
