//! The hooks that a connector has, as they are set up.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::desk::{Clients, Desk, TargetDirectory, Ticket};
use super::program::Program;
use super::question::{Client, Credentials, Folder, Hook, Stored, Token, Verdict};
use super::runner::Runner;

/// Who answers a hook's questions.
#[derive(Default)]
pub(super) enum Provider<Q, A> {
    /// Nobody: there is no such hook.
    #[default]
    None,
    /// The program that embeds the connector.
    Closure(Arc<dyn Fn(&Q) -> A + Send + Sync>),
    /// A program that is named in the config.
    Program(Program),
}

impl<Q, A> Clone for Provider<Q, A> {
    fn clone(&self) -> Self {
        match self {
            Provider::None => Provider::None,
            Provider::Closure(closure) => Provider::Closure(Arc::clone(closure)),
            Provider::Program(program) => Provider::Program(program.clone()),
        }
    }
}

impl<Q, A> Provider<Q, A> {
    pub fn is_set(&self) -> bool {
        !matches!(self, Provider::None)
    }

    fn closure(closure: impl Fn(&Q) -> A + Send + Sync + 'static) -> Self {
        Provider::Closure(Arc::new(closure))
    }

    fn fill(&mut self, program: Program) {
        if !self.is_set() {
            *self = Provider::Program(program);
        }
    }

    fn shown(&self) -> &'static str {
        match self {
            Provider::None => "none",
            Provider::Closure(_) => "closure",
            Provider::Program(_) => "program",
        }
    }
}

/// The hooks of a connector, given as closures.
///
/// All run on the connector's own thread, which does nothing else meanwhile: no link, no app, no admin is served. So
/// they must answer at once, from memory; what takes longer is for a program. What they ask of their own connector, which
/// waits for them, is an error. A closure that panics ends the connector.
///
/// ```
/// use aioconnectors::hooks::{Folder, Hooks, Verdict};
///
/// let hooks = Hooks::new()
///     .server_auth_client(|client| client.name != "mallory")
///     .allow_certificate_creation(|client| match client.address.ip().is_loopback() {
///         true => Verdict::Allowed,
///         false => Verdict::Refused(format!("{} is enrolled on this machine only", client.name)),
///     })
///     .target_directory(|header| match header.get("source_id").and_then(|id| id.as_str()) {
///         Some(source) => Folder::Named(source.into()),
///         None => Folder::AsConfigured,
///     });
/// ```
#[derive(Clone, Default)]
pub struct Hooks {
    pub(super) server_auth_client: Provider<Client, Verdict>,
    pub(super) whitelist_clients: Provider<Client, Verdict>,
    pub(super) allow_certificate_creation: Provider<Client, Verdict>,
    target_directory: Provider<Map<String, Value>, Folder>,
    proxy_authorization: Provider<Credentials, Result<Credentials, String>>,
    store_token: Provider<Token, Result<String, String>>,
    load_token: Provider<Stored, Result<String, String>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("server_auth_client", &self.server_auth_client.shown())
            .field("whitelist_clients", &self.whitelist_clients.shown())
            .field("allow_certificate_creation", &self.allow_certificate_creation.shown())
            .field("target_directory", &self.target_directory.shown())
            .field("proxy_authorization", &self.proxy_authorization.shown())
            .field("store_token", &self.store_token.shown())
            .field("load_token", &self.load_token.shown())
            .finish()
    }
}

impl Hooks {
    /// None at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Server: whether a client that is identified may have its link; asked before each link comes up. The answer is a
    /// `bool` or a [`Verdict`]. A client that is refused is cut off, and comes again as it likes.
    #[must_use]
    pub fn server_auth_client<A: Into<Verdict>>(mut self, hook: impl Fn(&Client) -> A + Send + Sync + 'static) -> Self {
        self.server_auth_client = Provider::closure(move |client| hook(client).into());
        self
    }

    /// Server: whether a client that no whitelist names may come in. It is asked once the client's name is known, before
    /// all other hooks; of each client if there is no whitelist, and of none that is on the blacklist.
    ///
    /// The hook of this name in the Python package hears of clients that its whitelist has refused, and what it answers
    /// does not matter; here the answer does.
    #[must_use]
    pub fn whitelist_clients<A: Into<Verdict>>(mut self, hook: impl Fn(&Client) -> A + Send + Sync + 'static) -> Self {
        self.whitelist_clients = Provider::closure(move |client| hook(client).into());
        self
    }

    /// Server, with certificates: whether a client that has none of its own gets one.
    #[must_use]
    pub fn allow_certificate_creation<A: Into<Verdict>>(
        mut self,
        hook: impl Fn(&Client) -> A + Send + Sync + 'static,
    ) -> Self {
        self.allow_certificate_creation = Provider::closure(move |client| hook(client).into());
        self
    }

    /// Where a file goes; it gets the header of the message that brings it. In the Python package there is a hook for
    /// each `dst_type`; here it stands in the header, at `with_file`.
    #[must_use]
    pub fn target_directory(mut self, hook: impl Fn(&Map<String, Value>) -> Folder + Send + Sync + 'static) -> Self {
        self.target_directory = Provider::closure(hook);
        self
    }

    /// Client: with what name and password the proxy is spoken to; it gets those of the config, or
    /// empty ones, and is asked before each connection. A name has no colon.
    #[must_use]
    pub fn proxy_authorization(
        mut self,
        hook: impl Fn(&Credentials) -> Result<Credentials, String> + Send + Sync + 'static,
    ) -> Self {
        self.proxy_authorization = Provider::closure(hook);
        self
    }

    /// Client: what is kept in the token's file, as the token in a cipher; it gets the token. If it refuses, the token is
    /// lost: it has to be deleted on the server before there can be another.
    #[must_use]
    pub fn store_token(mut self, hook: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static) -> Self {
        self.store_token = Provider::closure(move |token: &Token| hook(&token.0));
        self
    }

    /// Client: the token; it gets what was kept in the token's file.
    #[must_use]
    pub fn load_token(mut self, hook: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static) -> Self {
        self.load_token = Provider::closure(move |stored: &Stored| hook(&stored.0));
        self
    }

    /// Has a program asked, unless there is a closure for the hook.
    pub fn set_program(&mut self, hook: Hook, program: Program) {
        match hook {
            Hook::ServerAuthClient => self.server_auth_client.fill(program),
            Hook::WhitelistClients => self.whitelist_clients.fill(program),
            Hook::AllowCertificateCreation => self.allow_certificate_creation.fill(program),
            Hook::TargetDirectory => self.target_directory.fill(program),
            Hook::ProxyAuthorization => self.proxy_authorization.fill(program),
            Hook::StoreToken => self.store_token.fill(program),
            Hook::LoadToken => self.load_token.fill(program),
        }
    }

    /// Whether there is somebody to ask.
    #[must_use]
    pub fn is_set(&self, hook: Hook) -> bool {
        match hook {
            Hook::ServerAuthClient => self.server_auth_client.is_set(),
            Hook::WhitelistClients => self.whitelist_clients.is_set(),
            Hook::AllowCertificateCreation => self.allow_certificate_creation.is_set(),
            Hook::TargetDirectory => self.target_directory.is_set(),
            Hook::ProxyAuthorization => self.proxy_authorization.is_set(),
            Hook::StoreToken => self.store_token.is_set(),
            Hook::LoadToken => self.load_token.is_set(),
        }
    }

    /// Where questions about clients are asked; programs by way of `runner`. `T` names a question.
    #[must_use]
    pub fn clients<T: Ticket>(&self, runner: &Runner) -> Clients<T> {
        Clients::new(self, runner)
    }

    /// Where it is asked into which folder a file goes.
    #[must_use]
    pub fn folders(&self, runner: &Runner) -> TargetDirectory {
        TargetDirectory::new(Desk::new(Hook::TargetDirectory, self.target_directory.clone(), runner))
    }

    /// Where it is asked with what name and password a proxy is spoken to.
    #[must_use]
    pub fn proxies<T: Ticket>(&self, runner: &Runner) -> Desk<T, Credentials, Result<Credentials, String>> {
        Desk::new(Hook::ProxyAuthorization, self.proxy_authorization.clone(), runner)
    }

    /// Where it is asked what is kept of a token.
    #[must_use]
    pub fn tokens_to_store<T: Ticket>(&self, runner: &Runner) -> Desk<T, Token, Result<String, String>> {
        Desk::new(Hook::StoreToken, self.store_token.clone(), runner)
    }

    /// Where it is asked what token it is that was kept.
    #[must_use]
    pub fn tokens_to_load<T: Ticket>(&self, runner: &Runner) -> Desk<T, Stored, Result<String, String>> {
        Desk::new(Hook::LoadToken, self.load_token.clone(), runner)
    }
}
