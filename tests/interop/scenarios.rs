//! Each pairing in each mode.

use crate::checks;
use crate::common::{Role, Setup};
use crate::pair::Kind::{Ours, Python};
use crate::pair::Mode::{self, AllowAll, Certificates, CertificatesTls12, Plain};
use crate::pair::Pair;
use crate::python;

/// Two tests of a pairing in a mode: messages in bulk, and conversation.
macro_rules! scenario {
    ($name:ident, $server:expr, $client:expr, $mode:expr, $messages:path) => {
        mod $name {
            use super::*;

            #[test]
            fn thousands_of_messages_each_way_arrive_once_in_order_unaltered() {
                if python::interpreter().is_some() {
                    $messages(&Pair::start($server, $client, $mode));
                }
            }

            #[test]
            fn pings_requests_and_unknown_keys_pass_both_ways() {
                if python::interpreter().is_some() {
                    let pair = Pair::start($server, $client, $mode);
                    checks::pings(&pair);
                    checks::requests_between_python_apps(&pair);
                    checks::unknown_keys(&pair);
                }
            }
        }
    };
}

/// Apps of the Python package on both ends of two of our connectors.
mod our_connectors_with_python_apps {
    use super::*;

    scenario!(plain, Ours, Ours, Plain, checks::messages_between_python_apps);
    scenario!(certificates, Ours, Ours, Certificates(Ours), checks::messages_between_python_apps);
    scenario!(certificates_of_python, Ours, Ours, Certificates(Python), checks::messages_between_python_apps);
    scenario!(allow_all, Ours, Ours, AllowAll(Ours), checks::messages_between_python_apps);
}

mod our_server_with_python_client {
    use super::*;

    scenario!(plain, Ours, Python, Plain, checks::messages_between_raw_apps);
    scenario!(certificates, Ours, Python, Certificates(Ours), checks::messages_between_raw_apps);
    scenario!(certificates_of_python, Ours, Python, Certificates(Python), checks::messages_between_raw_apps);
    scenario!(tls_1_2, Ours, Python, CertificatesTls12(Ours), checks::messages_between_raw_apps);
    scenario!(tls_1_2_of_python, Ours, Python, CertificatesTls12(Python), checks::messages_between_raw_apps);
    scenario!(allow_all, Ours, Python, AllowAll(Ours), checks::messages_between_raw_apps);
}

mod python_server_with_our_client {
    use super::*;

    scenario!(plain, Python, Ours, Plain, checks::messages_between_raw_apps);
    scenario!(certificates, Python, Ours, Certificates(Ours), checks::messages_between_raw_apps);
    scenario!(certificates_of_python, Python, Ours, Certificates(Python), checks::messages_between_raw_apps);
    scenario!(tls_1_2, Python, Ours, CertificatesTls12(Ours), checks::messages_between_raw_apps);
    scenario!(tls_1_2_of_python, Python, Ours, CertificatesTls12(Python), checks::messages_between_raw_apps);
    scenario!(allow_all, Python, Ours, AllowAll(Python), checks::messages_between_raw_apps);
}

/// Our client stores what it cannot send.
mod python_server_that_is_away {
    use super::*;

    #[track_caller]
    fn stores(mode: Mode) {
        if python::interpreter().is_some() {
            let stores = |setup: Setup| match setup.role {
                Role::Client => setup.with("disk_persistence_send", true),
                Role::Server => setup,
            };
            checks::stored_messages(&mut Pair::start_with(Python, Ours, mode, stores));
        }
    }

    #[test]
    fn gets_what_was_stored_without_tls() {
        stores(Plain);
    }

    #[test]
    fn gets_what_was_stored_with_tls_1_3() {
        stores(Certificates(Ours));
    }

    #[test]
    fn gets_what_was_stored_with_tls_1_2() {
        stores(CertificatesTls12(Ours));
    }
}

/// The tests themselves, with the package on both ends: what fails here is not ours.
mod python_with_itself {
    use super::*;

    scenario!(plain, Python, Python, Plain, checks::messages_between_raw_apps);
    scenario!(certificates, Python, Python, Certificates(Python), checks::messages_between_raw_apps);
    scenario!(certificates_of_ours, Python, Python, Certificates(Ours), checks::messages_between_raw_apps);
    scenario!(tls_1_2, Python, Python, CertificatesTls12(Python), checks::messages_between_raw_apps);
    scenario!(allow_all, Python, Python, AllowAll(Python), checks::messages_between_raw_apps);
}
