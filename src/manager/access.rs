//! Who may come in and do what, as the config says.

use crate::config::{Config, IgnorePeerTraffic};
use crate::core::Access;
use crate::core::access::{EntryError, Ignored, List, parse_address};

/// What the config says. A file was checked when it was read; a config that a program has made may have any entries.
///
/// # Errors
/// The key, and why one of its entries is none: it must not be passed over.
pub(super) fn access(config: &Config) -> Result<Access, (&'static str, EntryError)> {
    let blacklist = List {
        names: entries("blacklisted_clients_id", &config.blacklisted_clients_id, str::parse)?,
        addresses: entries("blacklisted_clients_ip", &config.blacklisted_clients_ip, parse_address)?,
        subnets: entries("blacklisted_clients_subnet", &config.blacklisted_clients_subnet, str::parse)?,
    };
    let whitelist = List {
        names: entries("whitelisted_clients_id", &config.whitelisted_clients_id, str::parse)?,
        addresses: entries("whitelisted_clients_ip", &config.whitelisted_clients_ip, parse_address)?,
        subnets: entries("whitelisted_clients_subnet", &config.whitelisted_clients_subnet, str::parse)?,
    };
    let ignored = match &config.ignore_peer_traffic {
        IgnorePeerTraffic::No => Ignored::Nobody,
        IgnorePeerTraffic::All => Ignored::Everybody,
        IgnorePeerTraffic::Peers(names) => Ignored::Peers(names.clone()),
    };
    let most = usize::try_from(config.client_max_queued_bytes).unwrap_or(usize::MAX);
    Ok(Access {
        blacklist,
        whitelist,
        ignored,
        client_rules: config.client_rules.clone(),
        local_rules: config.local_rules.clone(),
        client_queue_max: (config.is_server && most > 0).then_some(most),
    })
}

fn entries<T>(
    key: &'static str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, EntryError>,
) -> Result<Vec<T>, (&'static str, EntryError)> {
    let entry = |text: &String| parse(text).map_err(|EntryError(e)| (key, EntryError(format!("{text:?} is not {e}"))));
    texts.iter().map(entry).collect()
}

/// Writes what can change while the connector runs back into its config, for another life.
pub(super) fn keep(config: &mut Config, access: &Access) {
    let Access { blacklist, whitelist, ignored, .. } = access;
    config.blacklisted_clients_id = blacklist.texts("id");
    config.blacklisted_clients_ip = blacklist.texts("ip");
    config.blacklisted_clients_subnet = blacklist.texts("subnet");
    config.whitelisted_clients_id = whitelist.texts("id");
    config.whitelisted_clients_ip = whitelist.texts("ip");
    config.whitelisted_clients_subnet = whitelist.texts("subnet");
    config.ignore_peer_traffic = match ignored {
        Ignored::Nobody => IgnorePeerTraffic::No,
        Ignored::Everybody => IgnorePeerTraffic::All,
        Ignored::Peers(names) => IgnorePeerTraffic::Peers(names.clone()),
    };
}
