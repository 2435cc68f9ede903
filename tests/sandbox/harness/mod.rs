//! A federation in a temporary folder: keys, signed documents, rows, and the real programs as processes of their own.
//!
//! It is set up through the public command lines, in the order that a real one follows. Everything ends when it is dropped.

pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod documents;
pub(crate) mod ledgers;
pub(crate) mod relay;
pub(crate) mod rows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use commun_cli::client::Client;
use commun_cli::profile::Profile;
use commun_domain::Document as _;
use commun_domain::Hash32;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::signed::SignedDocument;
use tempfile::TempDir;

use self::child::{Daemon, Fault, Output, run, wait_for};
use self::documents::{CONTRACT, PermitSpec};
use self::relay::Relay;
use self::rows::Counts;

/// The trust domain of every federation here.
pub(crate) const TRUST_DOMAIN: &str = "sandbox.commun";

/// From a manifest to its slot, and the holders' own floor of it, in milliseconds.
pub(crate) const SLOT_MS: u64 = 1_500;
pub(crate) const FLOOR_MS: u64 = 300;

/// How long daemons may take until they are up and have read the log.
const READY: Duration = Duration::from_mins(1);

/// What differs between federations.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Holders.
    pub(crate) holders: usize,
    /// Draft of the data contract.
    pub(crate) contract: &'static str,
    /// The permit.
    pub(crate) permit: PermitSpec,
    /// Whether the holders' policies list the permit.
    pub(crate) accepted: bool,
    /// `manifest_ms` of the coordinator; `reply_ms` is half of it.
    pub(crate) manifest_ms: u32,
    /// From a manifest to its slot, in milliseconds.
    pub(crate) slot_ms: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { holders: 1, contract: CONTRACT, permit: PermitSpec::default(), accepted: true, manifest_ms: 20_000, slot_ms: SLOT_MS }
    }
}

/// See the module.
pub(crate) struct Federation {
    // Daemons are dropped, and so killed, before the folder goes.
    agents: Vec<Option<Daemon>>,
    coordinator: Option<Daemon>,
    folder: TempDir,
    setup: Setup,
    /// The data contract.
    pub(crate) contract: DataContract,
    /// Hash of the permit.
    pub(crate) permit: Hash32,
    /// Hashes that the holders' policies list.
    accepted: Vec<Hash32>,
    /// Persons by holder and cell.
    pub(crate) counts: Vec<Counts>,
    address: String,
    /// Where agents connect, if not to the coordinator itself.
    relay: Option<String>,
    /// Most pages of the coordinator's store, and of every agent's.
    pub(crate) max_pages: (Option<u32>, Option<u32>),
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

impl Federation {
    /// Keys, documents, rows and configurations; nothing runs yet.
    pub(crate) fn build(setup: Setup) -> Self {
        let contract = parse_contract(setup.contract).unwrap();
        let mut federation = Self {
            agents: (0..setup.holders).map(|_| None).collect(),
            coordinator: None,
            folder: tempfile::Builder::new().prefix("commun-sandbox-").tempdir().unwrap(),
            contract,
            permit: Hash32::default(),
            accepted: Vec::new(),
            counts: Vec::new(),
            address: "127.0.0.1:0".to_owned(),
            relay: None,
            max_pages: (None, None),
            setup,
        };
        federation.keys();
        federation.draft_contract();
        let spec = federation.setup.permit.clone();
        federation.permit = federation.sign_permit("permit", &spec, &["apd-1", "apd-2"]);
        if federation.setup.accepted {
            federation.accepted.push(federation.permit);
        }
        federation.write_rows();
        federation
    }

    /// A federation that runs, with its documents published and read by every agent.
    pub(crate) fn running(setup: Setup) -> Self {
        let mut federation = Self::build(setup);
        federation.start_coordinator(None);
        for holder in 0..federation.setup.holders {
            federation.start_agent(holder, None);
        }
        federation.publish("contract").done();
        federation.publish("permit").done();
        federation.wait_ready();
        federation
    }

    /// A path in the folder.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn at(&self, relative: &str) -> String {
        text(&self.path(relative))
    }

    /// The name of a holder, from 0.
    pub(crate) fn holder_name(holder: usize) -> String {
        format!("telco-{}", holder + 1)
    }

    fn holder_names(&self) -> Vec<String> {
        (0..self.setup.holders).map(Self::holder_name).collect()
    }

    fn keys(&self) {
        let (out, holders) = (self.at("pki"), self.holder_names().join(","));
        let mut init = vec!["pki", "init", "--out", &out, "--trust-domain", TRUST_DOMAIN, "--holders", &holders];
        init.extend(["--officers", "apd-1,apd-2", "--agencies", "statbel/analyst,other/analyst", "--operators", "operator"]);
        init.extend(["--threshold", "2", "--datasets", "mobility", "--days", "30"]);
        run("commun-coordinator", init).done();
        let (root, bundle, roster) = (self.at("pki/root/root.key"), self.at("pki/bundle-1.signed"), self.at("pki/roster-1.signed"));
        run("commun-coordinator", ["pki", "sign", "--key", &root, &bundle]).done();
        run("commun-coordinator", ["pki", "sign", "--key", &root, &roster]).done();
        for holder in self.holder_names() {
            run("commun-agent", ["sign-roster", "--key", &self.at(&format!("pki/holders/{holder}/holder.key")), &roster]).done();
        }
    }

    fn draft_contract(&self) {
        std::fs::write(self.path("contract.toml"), self.setup.contract).unwrap();
        let signed = self.at("contract.signed");
        run("commun", ["contract", "draft", &self.at("contract.toml"), "--out", &signed]).done();
        for officer in ["apd-1", "apd-2"] {
            run("commun", ["contract", "sign", &signed, "--key", &self.at(&format!("pki/officers/{officer}/officer.key"))]).done();
        }
    }

    /// Drafts a permit into `<name>.signed` and has these officers sign it. Returns its hash.
    pub(crate) fn sign_permit(&self, name: &str, spec: &PermitSpec, officers: &[&str]) -> Hash32 {
        let shown = run("commun", ["key", "show", &self.at("pki/agencies/statbel/analyst/query.key")]).done();
        let query_key = shown.split('"').nth(1).unwrap();
        let (draft, signed) = (self.at(&format!("{name}.toml")), self.at(&format!("{name}.signed")));
        std::fs::write(&draft, spec.draft(query_key)).unwrap();
        let hash = run("commun", ["permit", "draft", &draft, "--contract", &self.at("contract.signed"), "--out", &signed]).done();
        for officer in officers {
            run("commun", ["permit", "sign", &signed, "--key", &self.at(&format!("pki/officers/{officer}/officer.key"))]).done();
        }
        Hash32::from_hex(hash.trim()).unwrap()
    }

    /// A `*.signed` file of the folder.
    pub(crate) fn signed(&self, name: &str) -> SignedDocument {
        SignedDocument::from_file_text(&std::fs::read_to_string(self.path(&format!("{name}.signed"))).unwrap()).unwrap()
    }

    fn write_rows(&mut self) {
        let codes = rows::codes(&self.contract);
        for holder in 0..self.setup.holders {
            let counts = rows::counts(holder, codes.len() * codes.len());
            rows::write(&self.path(&Self::holder_name(holder)), holder, &counts, &codes, &self.contract);
            self.counts.push(counts);
        }
    }

    /// SHA-256 of trust bundle 1, as `pins.toml` says it.
    pub(crate) fn bundle_pin(&self) -> String {
        let pins: toml::Table = std::fs::read_to_string(self.path("pki/pins.toml")).unwrap().parse().unwrap();
        pins["bundle_sha256"].as_str().unwrap().to_owned()
    }

    /// Adds a permit to what the holders' policies list, from their next start on.
    pub(crate) fn accept(&mut self, permit: Hash32) {
        self.accepted.push(permit);
    }

    fn write_coordinator(&self) {
        std::fs::create_dir_all(self.path("coordinator")).unwrap();
        let limit = self.max_pages.0.map_or_else(String::new, |pages| format!("[limits]\nmax_store_pages = {pages}\n"));
        let (pin, manifest_ms, reply_ms) = (self.bundle_pin(), self.setup.manifest_ms, self.setup.manifest_ms / 2);
        let slot_ms = self.setup.slot_ms;
        let config = format!(
            r#"listen = "{}"
trust_domain = "{TRUST_DOMAIN}"
state_dir = "state"
ca_certificate = "../pki/ca/ca.crt"
bundle = "../pki/bundle-1.signed"
roster = "../pki/roster-1.signed"
[keys]
tls_key = "../pki/coordinator/tls.key"
tls_certificate = "../pki/coordinator/tls.crt"
log_key = "../pki/coordinator/log.key"
[pins]
bundle_sha256 = "{pin}"
[deadlines]
reply_ms = {reply_ms}
manifest_ms = {manifest_ms}
slot_ms = {slot_ms}
round_ms = 10000
{limit}"#,
            self.address
        );
        std::fs::write(self.path("coordinator/coordinator.toml"), config).unwrap();
    }

    /// Writes the configuration of an agent and returns its path.
    pub(crate) fn write_agent(&self, holder: usize) -> PathBuf {
        let name = Self::holder_name(holder);
        let accepted: Vec<String> = self.accepted.iter().map(ToString::to_string).collect();
        let limit = self.max_pages.1.map_or_else(String::new, |pages| format!("max_store_pages = {pages}\n"));
        let independent: Vec<String> = self.holder_names().into_iter().filter(|other| *other != name).collect();
        let (address, pin) = (self.relay.as_ref().unwrap_or(&self.address), self.bundle_pin());
        let config = format!(
            r#"holder = "{name}"
coordinator = "{address}"
trust_domain = "{TRUST_DOMAIN}"
state_dir = "state"
ca_certificate = "../pki/ca/ca.crt"
binding = "binding.toml"
[keys]
tls_key = "../pki/holders/{name}/tls.key"
tls_certificate = "../pki/holders/{name}/tls.crt"
holder_key = "../pki/holders/{name}/holder.key"
[pins]
bundle_sha256 = "{pin}"
[policy]
accept_permits = {accepted:?}
independent = {independent:?}
[limits]
slot_ms = {FLOOR_MS}
{limit}"#
        );
        let path = self.path(&format!("{name}/agent.toml"));
        std::fs::write(&path, config).unwrap();
        path
    }

    /// Writes a profile for the folder of a party in `pki/`, and returns its path.
    pub(crate) fn write_profile(&self, name: &str, party: &str, query_key: Option<&str>) -> PathBuf {
        let key = query_key.map_or_else(String::new, |key| format!("query_key = \"{key}\"\n"));
        let (address, pin) = (&self.address, self.bundle_pin());
        let profile = format!(
            r#"coordinator = "{address}"
ca_certificate = "pki/ca/ca.crt"
[keys]
tls_key = "pki/{party}/tls.key"
tls_certificate = "pki/{party}/tls.crt"
{key}[pins]
bundle_sha256 = "{pin}"
"#
        );
        let path = self.path(&format!("{name}.toml"));
        std::fs::write(&path, profile).unwrap();
        path
    }

    /// Where everybody connects.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Lets agents and profiles connect to another address than the coordinator's, from their next start on.
    pub(crate) fn connect_to(&mut self, address: String) {
        self.address = address;
        self.write_profiles();
    }

    /// Lets agents connect through a relay, from their next start on.
    pub(crate) fn through(&mut self, relay: &Relay) {
        self.relay = Some(relay.address());
    }

    /// How many holders it has.
    pub(crate) fn holders(&self) -> usize {
        self.setup.holders
    }

    fn write_profiles(&self) {
        let agency = "agencies/statbel/analyst";
        self.write_profile("agency", agency, Some(&format!("pki/{agency}/query.key")));
        self.write_profile("officer", "officers/apd-1", None);
    }

    /// Starts the coordinator, on the address of its first start.
    pub(crate) fn start_coordinator(&mut self, fault: Option<&Fault>) {
        assert!(self.coordinator.is_none(), "it runs already");
        self.write_coordinator();
        let address = self.path("coordinator/state/address");
        let _ = std::fs::remove_file(&address);
        let config = self.at("coordinator/coordinator.toml");
        let mut daemon = Daemon::start("commun-coordinator", ["run", "--config", &config], &self.path("coordinator.log"), fault);
        self.address = wait_for("the coordinator listens", READY, || {
            daemon.assert_runs();
            std::fs::read_to_string(&address).ok()
        });
        self.coordinator = Some(daemon);
        self.write_profiles();
    }

    /// Starts the agent of a holder.
    pub(crate) fn start_agent(&mut self, holder: usize, fault: Option<&Fault>) {
        assert!(self.agents[holder].is_none(), "it runs already");
        let config = text(&self.write_agent(holder));
        let log = self.path(&format!("{}.log", Self::holder_name(holder)));
        self.agents[holder] = Some(Daemon::start("commun-agent", ["run", "--config", &config], &log, fault));
    }

    /// Takes the coordinator's process out, to stop or kill it, or to see it die.
    pub(crate) fn take_coordinator(&mut self) -> Daemon {
        self.coordinator.take().unwrap()
    }

    /// The coordinator's process id.
    pub(crate) fn coordinator_pid(&self) -> u32 {
        self.coordinator.as_ref().unwrap().pid()
    }

    /// Takes an agent's process out.
    pub(crate) fn take_agent(&mut self, holder: usize) -> Daemon {
        self.agents[holder].take().unwrap()
    }

    /// The agent's process.
    pub(crate) fn agent(&mut self, holder: usize) -> &mut Daemon {
        self.agents[holder].as_mut().unwrap()
    }

    /// Stops everything, agents first, so that the stores can be read.
    pub(crate) fn stop(&mut self) {
        self.agents.iter_mut().filter_map(Option::take).for_each(Daemon::stop);
        if let Some(coordinator) = self.coordinator.take() {
            coordinator.stop();
        }
    }

    /// Asserts that every daemon that was started still runs.
    #[track_caller]
    pub(crate) fn assert_runs(&mut self) {
        self.agents.iter_mut().flatten().chain(&mut self.coordinator).for_each(Daemon::assert_runs);
    }

    /// Waits until every holder is connected and has read the whole log.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let holders = self.setup.holders;
        let officer = self.path("officer.toml");
        wait_for("agents connected and up to date", READY, || {
            self.assert_runs();
            let profile = Profile::load(Some(&officer)).unwrap();
            let status = runtime.block_on(async { Client::connect(&profile).await?.status().await }).ok()?;
            let ready = status.holders.iter().filter(|holder| holder.connected && holder.log_read_to == status.log_size).count();
            (ready == holders).then_some(())
        });
    }

    /// Entries in the coordinator's log; `None` when it cannot be asked now.
    pub(crate) fn log_size(&self) -> Option<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let profile = Profile::load(Some(&self.path("officer.toml"))).unwrap();
        runtime.block_on(async { Client::connect(&profile).await?.status().await }).ok().map(|status| status.log_size)
    }

    /// `commun` with the agency's profile.
    pub(crate) fn commun(&self, args: &[&str]) -> Output {
        self.commun_as("agency", args)
    }

    /// `commun` with a profile of the folder.
    pub(crate) fn commun_as(&self, profile: &str, args: &[&str]) -> Output {
        let config = self.at(&format!("{profile}.toml"));
        run("commun", ["--config", &config].into_iter().chain(args.iter().copied()))
    }

    /// Publishes `<name>.signed` as officer apd-1.
    pub(crate) fn publish(&self, name: &str) -> Output {
        let kind = if name.starts_with("contract") { "contract" } else { "permit" };
        self.commun_as("officer", &[kind, "publish", &self.at(&format!("{name}.signed"))])
    }

    /// `commun query` at this rho.
    pub(crate) fn query(&self, rho: &str, sql: &str) -> Output {
        self.commun(&["query", "--rho", rho, "--format", "csv", sql])
    }

    /// `commun query` with its report; returns the table and the report.
    pub(crate) fn answered(&self, rho: &str, sql: &str) -> (Vec<csv::StringRecord>, serde_json::Value) {
        let report = self.path("report.json");
        let table = self.commun(&["query", "--rho", rho, "--format", "csv", "--report", &text(&report), sql]).done();
        let rows = csv::Reader::from_reader(table.as_bytes()).into_records().map(Result::unwrap).collect();
        (rows, serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap())
    }

    /// A local command of an agent, for example `status --json`.
    pub(crate) fn agent_command(&self, holder: usize, command: &str, args: &[&str]) -> Output {
        let config = self.at(&format!("{}/agent.toml", Self::holder_name(holder)));
        run("commun-agent", [command, "--config", &config].into_iter().chain(args.iter().copied()))
    }

    /// A person's decision that an agent, which does not run, goes on.
    #[track_caller]
    pub(crate) fn resume(&self, holder: usize) -> String {
        self.agent_command(holder, "resume", &["--reason", "looked into by the test"]).done()
    }

    /// Where a fault is told.
    pub(crate) fn fault_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Hash of the data contract.
    pub(crate) fn contract_hash(&self) -> Hash32 {
        self.contract.hash()
    }
}

/// Commutes of a month, by home and place of work.
pub(crate) fn commutes(month: &str) -> String {
    format!(
        "SELECT home_arr, work_arr, COUNT(DISTINCT subscriber_id) AS commuters FROM mobility.commute \
         WHERE ref_month = '{month}' GROUP BY home_arr, work_arr"
    )
}
