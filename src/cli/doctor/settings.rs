//! The config itself.

use std::path::Path;

use super::report::Report;
use crate::config::Config;

const PART: &str = "config";

/// The config, unless it has errors: then nothing else can be said.
pub(super) fn check(path: &Path, report: &mut Report) -> Option<Config> {
    let advice = "aioconnectors.json(5) says what each key may be";
    match Config::load(path) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                report.warning(PART, warning.to_string(), advice);
            }
            let (role, id) = (loaded.config.role().word(), loaded.config.id());
            report.ok(PART, format!("{} has no errors: {role} {id}", path.display()));
            Some(loaded.config)
        }
        Err(errors) => {
            for error in &errors.errors {
                report.error(PART, error.to_string(), advice);
            }
            for warning in &errors.warnings {
                report.warning(PART, warning.to_string(), advice);
            }
            None
        }
    }
}
