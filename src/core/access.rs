//! Who may come in: black- and whitelists of clients, by name, address and subnet; and who may do what ([`super::rules`]).
//!
//! As in the Python package:
//! - the blacklist wins: whom any of its entries names stays out;
//! - a whitelist without entries lets everybody in; of the three kinds of its entries (names, addresses, subnets) each
//!   that has any must name the client, so with all three a client must be on all three;
//! - a name is a regular expression that is matched from the name's start, so `client1` names `client10` as well, and
//!   `client1$` does not.
//!
//! Expressions are of the crate `regex`, whose time is linear in the name: no look-around, no back-references.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

use super::rules::{ClientRule, LocalRule};

/// Longest entry of a list, bytes.
pub const ENTRY_MAX: usize = 1024;

/// Most entries of a kind in a list.
pub const LIST_MAX: usize = 4096;

/// Most memory that a regular expression may need, bytes.
pub const REGEX_MAX: usize = 1 << 20;

/// Why a text is no entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryError(
    /// What is wrong, as in `an IP address`.
    pub String,
);

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EntryError {}

/// A regular expression for names, matched from their start.
#[derive(Clone, Debug)]
pub struct NamePattern {
    text: String,
    /// None if the text has nothing but plain characters: those that names can have.
    regex: Option<Regex>,
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NamePattern {}

impl FromStr for NamePattern {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        check_length(text)?;
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ':');
        if text.chars().all(is_plain) {
            return Ok(Self { text: text.to_owned(), regex: None });
        }
        let regex = RegexBuilder::new(text).size_limit(REGEX_MAX).dfa_size_limit(REGEX_MAX).build();
        match regex {
            Ok(regex) => Ok(Self { text: text.to_owned(), regex: Some(regex) }),
            Err(error) => Err(EntryError(format!("a regular expression: {}", why_no_regex(&error)))),
        }
    }
}

/// The last line of an error says what is wrong; the ones before draw it.
fn why_no_regex(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn check_length(text: &str) -> Result<(), EntryError> {
    match text.len() {
        0 => Err(EntryError("a text that is not empty".to_owned())),
        n if n > ENTRY_MAX => Err(EntryError(format!("at most {ENTRY_MAX} bytes, this has {n}"))),
        _ => Ok(()),
    }
}

impl NamePattern {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it stands for this name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.regex {
            None => name.starts_with(&self.text),
            // The leftmost match begins at the start if any does.
            Some(regex) => regex.find(name).is_some_and(|found| found.start() == 0),
        }
    }
}

/// A range of addresses: `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    first: IpAddr,
    /// Leading bits that its addresses have in common.
    prefix: u8,
}

impl FromStr for Subnet {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let wrong = || EntryError("a subnet as 10.0.0.0/8 or fd00::/8".to_owned());
        let (first, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let is_number = !prefix.is_empty() && prefix.bytes().all(|c| c.is_ascii_digit());
        let prefix = match prefix.parse::<u8>() {
            Ok(prefix) if is_number && prefix <= most => prefix,
            _ => mask(prefix).filter(|_| first.is_ipv4()).ok_or_else(wrong)?,
        };
        let subnet = Self { first, prefix };
        if bits(first) & !subnet.mask() != 0 {
            return Err(EntryError(format!("a subnet whose address has no bits beyond the first {prefix}")));
        }
        Ok(subnet)
    }
}

/// How many bits a mask as `255.0.0.0` covers.
fn mask(text: &str) -> Option<u8> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    // At most 32, which fits.
    (mask.leading_ones() == mask.count_ones()).then_some(mask.leading_ones() as u8)
}

/// The bits of an address, from the highest on.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

impl Subnet {
    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// Whether the address is in it. One of IPv4 that came by way of IPv6 counts as one of IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && bits(address) & self.mask() == bits(self.first)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Reads an address, and not a name or a subnet.
///
/// # Errors
/// It is none.
pub fn parse_address(text: &str) -> Result<IpAddr, EntryError> {
    let address: Result<IpAddr, _> = text.parse();
    // 1.2.3.4 as IPv6 writes it is 1.2.3.4.
    address.map(|address| address.to_canonical()).map_err(|_| EntryError("an IP address".to_owned()))
}

/// What an entry of a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Clients of such names.
    Name(NamePattern),
    /// Clients of this address.
    Address(IpAddr),
    /// Clients of these addresses.
    Subnet(Subnet),
}

impl Entry {
    /// What an admin gives as `client_ip`: an address, or a subnet if it has a `/`.
    ///
    /// # Errors
    /// It is neither.
    pub fn of_ip(text: &str) -> Result<Self, EntryError> {
        if text.contains('/') { text.parse().map(Entry::Subnet) } else { parse_address(text).map(Entry::Address) }
    }

    /// As it stands in the config.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Entry::Name(pattern) => pattern.text().to_owned(),
            Entry::Address(address) => address.to_string(),
            Entry::Subnet(subnet) => subnet.to_string(),
        }
    }

    /// How its config key ends, as in `blacklisted_clients_id`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Entry::Name(_) => "id",
            Entry::Address(_) => "ip",
            Entry::Subnet(_) => "subnet",
        }
    }
}

/// A black- or a whitelist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Names.
    pub names: Vec<NamePattern>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Ranges of addresses.
    pub subnets: Vec<Subnet>,
}

impl List {
    /// Whether nobody is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.addresses.is_empty() && self.subnets.is_empty()
    }

    /// Adds an entry; one that is there stays as it is.
    ///
    /// # Errors
    /// There are [`LIST_MAX`] of its kind.
    pub fn add(&mut self, entry: Entry) -> Result<(), EntryError> {
        let full = match entry {
            Entry::Name(name) => add(&mut self.names, name),
            Entry::Address(address) => add(&mut self.addresses, address),
            Entry::Subnet(subnet) => add(&mut self.subnets, subnet),
        };
        if full { Err(EntryError(format!("at most {LIST_MAX} entries of a kind"))) } else { Ok(()) }
    }

    /// Takes an entry away; whether it was there.
    pub fn remove(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Name(name) => remove(&mut self.names, name),
            Entry::Address(address) => remove(&mut self.addresses, address),
            Entry::Subnet(subnet) => remove(&mut self.subnets, subnet),
        }
    }

    /// The entries of a kind, as they stand in the config: `id`, `ip` or `subnet`.
    #[must_use]
    pub fn texts(&self, kind: &str) -> Vec<String> {
        match kind {
            "id" => self.names.iter().map(|name| name.text().to_owned()).collect(),
            "ip" => self.addresses.iter().map(ToString::to_string).collect(),
            "subnet" => self.subnets.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }

    fn name(&self, client: &str) -> Option<&NamePattern> {
        self.names.iter().find(|name| name.matches(client))
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address.to_canonical())
    }

    fn subnet(&self, address: IpAddr) -> Option<Subnet> {
        self.subnets.iter().copied().find(|subnet| subnet.contains(address))
    }
}

/// Whether there is no room for it.
fn add<T: PartialEq>(list: &mut Vec<T>, entry: T) -> bool {
    if list.contains(&entry) {
        return false;
    }
    let is_full = list.len() >= LIST_MAX;
    if !is_full {
        list.push(entry);
    }
    is_full
}

fn remove<T: PartialEq>(list: &mut Vec<T>, entry: &T) -> bool {
    let before = list.len();
    list.retain(|other| other != entry);
    list.len() < before
}

/// What the lists say of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no whitelist, and no blacklist names it.
    Open,
    /// The whitelist names it, and no blacklist does.
    Named,
    /// It is not on the whitelist: why not.
    Unnamed(String),
    /// It is on the blacklist: where.
    Blacklisted(String),
}

/// Whose messages are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ignored {
    /// Nobody's.
    #[default]
    Nobody,
    /// Everybody's.
    Everybody,
    /// Those of these peers, and those for them.
    Peers(Vec<String>),
}

impl Ignored {
    /// Whether it is for this peer.
    #[must_use]
    pub fn covers(&self, peer: &str) -> bool {
        match self {
            Ignored::Nobody => false,
            Ignored::Everybody => true,
            Ignored::Peers(names) => names.iter().any(|name| name == peer),
        }
    }
}

/// Who may come in, and who may do what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// Server: clients that may not connect.
    pub blacklist: List,
    /// Server: the only clients that may connect, if there are any entries.
    pub whitelist: List,
    /// Whose messages are dropped.
    pub ignored: Ignored,
    /// Server: what clients may send and receive. The first one that names a client holds; whom none names may all.
    pub client_rules: Vec<ClientRule>,
    /// What apps on this machine may send and receive. The first one that names an app holds; if there are any, whom none
    /// names may nothing.
    pub local_rules: Vec<LocalRule>,
    /// Server: most bytes that may wait for a client in all its queues, those in files included.
    pub client_queue_max: Option<usize>,
}

impl Access {
    /// What the lists say of a client; its name may not be known yet, and then only its address counts.
    #[must_use]
    pub fn look(&self, address: IpAddr, name: Option<&str>) -> Verdict {
        if let Some(entry) = name.and_then(|name| self.blacklist.name(name)) {
            return Verdict::Blacklisted(format!("blacklisted_clients_id has {:?}", entry.text()));
        }
        if self.blacklist.has_address(address) {
            return Verdict::Blacklisted("blacklisted_clients_ip has its address".to_owned());
        }
        if let Some(subnet) = self.blacklist.subnet(address) {
            return Verdict::Blacklisted(format!("blacklisted_clients_subnet has {subnet}"));
        }
        let list = &self.whitelist;
        if list.is_empty() {
            return Verdict::Open;
        }
        let lacks = |kind: &str| Verdict::Unnamed(format!("whitelisted_clients_{kind} does not have it"));
        if !list.addresses.is_empty() && !list.has_address(address) {
            return lacks("ip");
        }
        if !list.subnets.is_empty() && list.subnet(address).is_none() {
            return lacks("subnet");
        }
        match name {
            Some(name) if !list.names.is_empty() && list.name(name).is_none() => lacks("id"),
            _ => Verdict::Named,
        }
    }

    /// The rule for a client.
    #[must_use]
    pub fn rule_for(&self, client: &str) -> Option<&ClientRule> {
        self.client_rules.iter().find(|rule| rule.id.matches(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn list(names: &[&str], addresses: &[&str], subnets: &[&str]) -> List {
        List {
            names: names.iter().map(|text| text.parse().unwrap()).collect(),
            addresses: addresses.iter().map(|text| parse_address(text).unwrap()).collect(),
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn whitelist(names: &[&str], addresses: &[&str], subnets: &[&str]) -> Access {
        Access { whitelist: list(names, addresses, subnets), ..Access::default() }
    }

    fn blacklist(names: &[&str], addresses: &[&str], subnets: &[&str]) -> Access {
        Access { blacklist: list(names, addresses, subnets), ..Access::default() }
    }

    #[test]
    fn a_name_is_matched_from_its_start_as_by_pythons_re_match() {
        for (pattern, name, matches) in [
            ("client1", "client1", true),
            ("client1", "client10", true),
            ("client1$", "client10", false),
            ("lient", "client1", false),
            (".*ent1", "client1", true),
            ("a|client", "client1", true),
            ("x|1", "client1", false),
            ("(?i)CLIENT", "client1", true),
            ("c[a-l]+", "client1", true),
            ("b?", "client1", true),
            ("c.1", "c:1", true),
        ] {
            assert_eq!(pattern.parse::<NamePattern>().unwrap().matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_expression_or_too_large_a_one_is_refused_with_its_reason() {
        let error = |text: &str| text.parse::<NamePattern>().unwrap_err().0;
        assert_eq!(error("(a"), "a regular expression: unclosed group");
        assert!(error("(?=a)b").contains("look-around"), "{}", error("(?=a)b"));
        assert!(error(r"(a)\1").contains("backreferences"), "{}", error(r"(a)\1"));
        assert!(error("(a{1000}){1000}").contains("size limit"), "{}", error("(a{1000}){1000}"));
        assert_eq!(error(""), "a text that is not empty");
        assert!(error(&"a".repeat(ENTRY_MAX + 1)).contains("1024"));
    }

    #[test]
    fn subnets_have_the_addresses_that_share_their_bits() {
        for (subnet, address, contains) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/255.0.0.0", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.2", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "8.8.8.8", false),
            ("::/0", "fd00::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::1/128", "::1", true),
        ] {
            assert_eq!(subnet.parse::<Subnet>().unwrap().contains(ip(address)), contains, "{subnet} {address}");
        }
        let over_v6 = IpAddr::V6(Ipv4Addr::new(10, 1, 1, 1).to_ipv6_mapped());
        assert!("10.0.0.0/8".parse::<Subnet>().unwrap().contains(over_v6));
        assert_eq!("10.0.0.0/255.255.0.0".parse::<Subnet>().unwrap().to_string(), "10.0.0.0/16");
    }

    #[test]
    fn what_is_no_subnet_or_address_is_refused() {
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "fd00::/129", "x/8", "10.0.0.0/255.0.255.0"]
        {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
        assert!("10.0.0.1/8".parse::<Subnet>().unwrap_err().0.contains("first 8"));
        assert!("fd00::/255.0.0.0".parse::<Subnet>().is_err());
        for text in ["10.0.0", "localhost", "10.0.0.0/8", ""] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_entries_all_come_in() {
        assert_eq!(Access::default().look(ip("1.2.3.4"), Some("c1")), Verdict::Open);
    }

    #[test]
    fn the_blacklist_keeps_out_by_name_address_and_subnet() {
        let is_out = |access: &Access, address, name| matches!(access.look(ip(address), name), Verdict::Blacklisted(_));
        let access = blacklist(&["bad"], &["1.2.3.4", "::1"], &["10.0.0.0/8"]);
        assert!(is_out(&access, "1.1.1.1", Some("bad1")));
        assert!(!is_out(&access, "1.1.1.1", Some("notbad")));
        assert!(!is_out(&access, "1.1.1.1", None));
        assert!(is_out(&access, "1.2.3.4", None) && is_out(&access, "::ffff:1.2.3.4", Some("good")));
        assert!(is_out(&access, "::1", None) && is_out(&access, "10.9.9.9", None));
    }

    #[test]
    fn the_blacklist_wins_over_the_whitelist() {
        let access = Access { whitelist: list(&["c"], &[], &[]), ..blacklist(&["c1"], &[], &[]) };
        assert!(matches!(access.look(ip("1.1.1.1"), Some("c1")), Verdict::Blacklisted(_)));
        assert_eq!(access.look(ip("1.1.1.1"), Some("c2")), Verdict::Named);
    }

    #[test]
    fn each_kind_of_whitelist_that_has_entries_must_name_the_client() {
        let access = whitelist(&["c1"], &["1.1.1.1", "10.0.0.1"], &["10.0.0.0/8"]);
        assert_eq!(access.look(ip("10.0.0.1"), Some("c1")), Verdict::Named);
        assert_eq!(access.look(ip("10.0.0.1"), None), Verdict::Named, "the name is not known yet");
        for (address, name, kind) in [("10.0.0.1", "d", "id"), ("10.0.0.2", "c1", "ip"), ("1.1.1.1", "c1", "subnet")] {
            let Verdict::Unnamed(why) = access.look(ip(address), Some(name)) else { panic!("{address} {name}") };
            assert_eq!(why, format!("whitelisted_clients_{kind} does not have it"));
        }
    }

    #[test]
    fn entries_are_added_once_and_removed() {
        let mut list = List::default();
        let entry = Entry::of_ip("fd00::/8").unwrap();
        list.add(entry.clone()).unwrap();
        list.add(entry.clone()).unwrap();
        assert_eq!(list.texts("subnet"), ["fd00::/8"]);
        assert!(list.remove(&entry) && !list.remove(&entry) && list.is_empty());
        for i in 0..LIST_MAX {
            list.add(Entry::Name(format!("c{i}").parse().unwrap())).unwrap();
        }
        assert!(list.add(Entry::Name("one-more".parse().unwrap())).is_err());
        assert_eq!(list.names.len(), LIST_MAX);
    }

    #[test]
    fn who_is_ignored() {
        let one = Ignored::Peers(vec!["c1".to_owned()]);
        assert!(one.covers("c1") && !one.covers("c10") && !Ignored::Nobody.covers("c1"));
        assert!(Ignored::Everybody.covers("c1"));
    }
}
