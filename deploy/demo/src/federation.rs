//! Builds the demo's federation in a folder, once, and starts its processes: the order of the steps is what a real one would follow.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use commun_cli::client::Client;
use commun_cli::profile::Profile;
use commun_domain::contract_toml::parse_contract;

use crate::census::{CONTRACT, Census, PERMIT, TRIPS_CONTRACT, TRIPS_PERMIT};
use crate::deal::deal;
use crate::processes::{Daemon, Programs};
use crate::{files, report::Steps, trips};

/// SPIFFE trust domain of the demo.
const TRUST_DOMAIN: &str = "demo.commun";
/// The agency and its user.
const AGENCY: &str = "statbel";
const USER: &str = "analyst";
/// The officers: any two must sign; here there are two.
const OFFICERS: [&str; 2] = ["apd-1", "apd-2"];
/// A data contract with its permit.
struct Dataset {
    /// Name of the contract, and of its files.
    name: &'static str,
    contract: &'static str,
    /// Name of the permit's files.
    permit_name: &'static str,
    permit: &'static str,
}
/// What is asked about.
const DATASETS: [Dataset; 2] = [
    Dataset { name: "mobility", contract: CONTRACT, permit_name: "permit", permit: PERMIT },
    Dataset { name: "trips", contract: TRIPS_CONTRACT, permit_name: "trips-permit", permit: TRIPS_PERMIT },
];
/// Days for which the demo's certificates are valid.
const VALID_DAYS: &str = "365";
/// How long a daemon may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// A folder with everything that the federation has.
#[derive(Debug)]
pub(crate) struct Federation {
    root: PathBuf,
    programs: Programs,
    holders: Vec<String>,
    /// Of a holder, by the first data contract.
    max_rows: u64,
}

/// A data contract that allows so many rows in its table.
fn with_max_rows(contract: &str, max_rows: u64) -> anyhow::Result<String> {
    let (before, rest) = contract.split_once("\nmax_rows = ").context("a data contract without max_rows")?;
    let (_, after) = rest.split_once('\n').context("a data contract that ends with max_rows")?;
    Ok(format!("{before}\nmax_rows = {max_rows}\n{after}"))
}

/// What is running.
#[derive(Debug)]
pub(crate) struct Running {
    // Agents are dropped, and so stopped, first.
    agents: Vec<Daemon>,
    coordinator: Daemon,
}

impl Running {
    /// Fails when a daemon has ended by itself.
    pub(crate) fn ensure(&mut self) -> anyhow::Result<()> {
        self.coordinator.ensure_running()?;
        self.agents.iter_mut().try_for_each(Daemon::ensure_running)
    }
}

impl Federation {
    /// The federation in `root` with this many operators.
    pub(crate) fn new(root: &Path, holders: u32, max_rows: u64) -> anyhow::Result<Self> {
        let holders = (0..holders).map(|number| format!("operator-{}", number + 1)).collect();
        Ok(Self { root: std::path::absolute(root)?, programs: Programs::own()?, holders, max_rows })
    }

    /// This binary under its other names.
    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Whether an earlier run built it; fails when it was built with other parameters or not to the end.
    pub(crate) fn is_built(&self, persons: u64) -> anyhow::Result<bool> {
        let marker = self.root.join("setup.json");
        if !marker.exists() {
            ensure!(
                !self.root.join("pki").exists(),
                "{} holds a federation that was not built to the end; remove the folder and start again",
                self.root.display()
            );
            return Ok(false);
        }
        let built = std::fs::read_to_string(&marker)?;
        ensure!(
            built == self.marker(persons),
            "{} was built with other parameters: {}; use the same --holders, --persons and --max-rows, or another folder",
            self.root.display(),
            built.trim()
        );
        Ok(true)
    }

    fn marker(&self, persons: u64) -> String {
        let (holders, max_rows, datasets) = (self.holders.len(), self.max_rows, DATASETS.len());
        format!("{{\"holders\": {holders}, \"persons\": {persons}, \"max_rows\": {max_rows}, \"datasets\": {datasets}}}\n")
    }

    /// Builds keys, certificates, signed documents, operators' files and configurations.
    pub(crate) fn build(&self, census: &Census, persons: u64, steps: &mut Steps) -> anyhow::Result<()> {
        steps.begin("keys", "making keys and certificates, each role its own");
        self.keys()?;
        steps.begin("documents", "two officers sign the data contracts and the permits");
        let permits = DATASETS.iter().map(|dataset| self.documents(dataset)).collect::<anyhow::Result<Vec<_>>>()?;
        steps.begin("deal", &format!("dealing {persons} synthetic persons out to {} operators", self.holders.len()));
        let deal = deal(census, u32::try_from(self.holders.len())?, persons)?;
        let truth: Vec<String> = deal.truth.iter().map(u64::to_string).collect();
        std::fs::write(self.root.join("truth.csv"), truth.join("\n"))?;
        let (trips, truth) = trips::draw(census, &parse_contract(TRIPS_CONTRACT)?, &deal.operators)?;
        std::fs::write(self.root.join("truth-trips.csv"), truth.to_csv())?;
        for (number, holder) in self.holders.iter().enumerate() {
            steps.begin(
                &format!("files-{}", number + 1),
                &format!("writing the files of {holder}: {} persons, form {}", deal.operators[number].len(), number % 3 + 1),
            );
            files::write(&self.holder_folder(holder).join("data"), number, &deal.operators[number], &trips[number], census)?;
        }
        self.configurations(&permits)?;
        std::fs::write(self.root.join("setup.json"), self.marker(persons))?;
        Ok(())
    }

    fn pki(&self, path: &str) -> PathBuf {
        self.root.join("pki").join(path)
    }

    fn holder_folder(&self, holder: &str) -> PathBuf {
        self.root.join(holder)
    }

    /// The agency's profile.
    pub(crate) fn agency_profile(&self) -> PathBuf {
        self.root.join("agency.toml")
    }

    fn officer_profile(&self) -> PathBuf {
        self.root.join("officer.toml")
    }

    fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        self.programs.run(program, args)
    }

    fn keys(&self) -> anyhow::Result<()> {
        let out = text(&self.root.join("pki"));
        self.run(
            "commun-coordinator",
            &[
                "pki",
                "init",
                "--out",
                &out,
                "--trust-domain",
                TRUST_DOMAIN,
                "--holders",
                &self.holders.join(","),
                "--officers",
                &OFFICERS.join(","),
                "--agencies",
                &format!("{AGENCY}/{USER}"),
                "--operators",
                "operator",
                "--threshold",
                "2",
                "--datasets",
                &DATASETS.map(|dataset| dataset.name).join(","),
                "--days",
                VALID_DAYS,
            ],
        )?;
        let (root_key, bundle, roster) =
            (text(&self.pki("root/root.key")), text(&self.pki("bundle-1.signed")), text(&self.pki("roster-1.signed")));
        self.run("commun-coordinator", &["pki", "sign", "--key", &root_key, &bundle])?;
        self.run("commun-coordinator", &["pki", "sign", "--key", &root_key, &roster])?;
        for holder in &self.holders {
            let key = text(&self.pki(&format!("holders/{holder}/holder.key")));
            self.run("commun-agent", &["sign-roster", "--key", &key, &roster])?;
        }
        Ok(())
    }

    /// Drafts and signs contract and permit; returns the permit's hash.
    fn documents(&self, dataset: &Dataset) -> anyhow::Result<String> {
        let file = |name: &str, extension: &str| self.root.join(format!("{name}.{extension}"));
        let (draft, contract) = (file(dataset.name, "toml"), text(&file(dataset.name, "signed")));
        // Averages and medians of trips take longer than the shortest wait: theirs stays as it is.
        let contract_text =
            if dataset.name == DATASETS[0].name { with_max_rows(dataset.contract, self.max_rows)? } else { dataset.contract.to_owned() };
        std::fs::write(&draft, contract_text)?;
        self.run("commun", &["contract", "draft", &text(&draft), "--out", &contract])?;
        let key = text(&self.pki(&format!("agencies/{AGENCY}/{USER}/query.key")));
        let public = self.run("commun", &["key", "show", &key])?;
        let public = public.split('"').nth(1).context("public key")?;
        let (draft, permit) = (file(dataset.permit_name, "toml"), text(&file(dataset.permit_name, "signed")));
        std::fs::write(
            &draft,
            dataset.permit.replace("@QUERY_KEY@", public).replace("@UNMASKED@", &(self.holders.len() == 1).to_string()),
        )?;
        let hash = self.run("commun", &["permit", "draft", &text(&draft), "--contract", &contract, "--out", &permit])?;
        for officer in OFFICERS {
            let key = text(&self.pki(&format!("officers/{officer}/officer.key")));
            self.run("commun", &["contract", "sign", &contract, "--key", &key])?;
            self.run("commun", &["permit", "sign", &permit, "--key", &key])?;
        }
        Ok(hash.trim().to_owned())
    }

    fn bundle_pin(&self) -> anyhow::Result<String> {
        let pins: toml::Table = std::fs::read_to_string(self.pki("pins.toml"))?.parse()?;
        pins.get("bundle_sha256").and_then(toml::Value::as_str).map(str::to_owned).context("pins.toml has no bundle_sha256")
    }

    /// The coordinator's configuration, and each operator's data folder; addresses are filled in at each start.
    fn configurations(&self, permits: &[String]) -> anyhow::Result<()> {
        std::fs::create_dir_all(self.root.join("coordinator"))?;
        std::fs::write(
            self.root.join("coordinator/coordinator.toml"),
            format!(
                r#"listen = "127.0.0.1:0"
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
bundle_sha256 = "{}"
"#,
                self.bundle_pin()?
            ),
        )?;
        std::fs::write(self.root.join("permits.sha256"), permits.join("\n"))?;
        Ok(())
    }

    /// Writes everything that names the coordinator's address of this run.
    fn address(&self, address: &str) -> anyhow::Result<()> {
        let (pin, permits) = (self.bundle_pin()?, std::fs::read_to_string(self.root.join("permits.sha256"))?);
        let permits: Vec<&str> = permits.lines().collect();
        for holder in &self.holders {
            let others: Vec<&String> = self.holders.iter().filter(|other| *other != holder).collect();
            std::fs::write(
                self.holder_folder(holder).join("agent.toml"),
                format!(
                    r#"holder = "{holder}"
coordinator = "{address}"
trust_domain = "{TRUST_DOMAIN}"
state_dir = "state"
ca_certificate = "../pki/ca/ca.crt"
binding = ["data/binding.toml", "data/trips.toml"]

[keys]
tls_key = "../pki/holders/{holder}/tls.key"
tls_certificate = "../pki/holders/{holder}/tls.crt"
holder_key = "../pki/holders/{holder}/holder.key"

[pins]
bundle_sha256 = "{pin}"

# This operator has read the permits and accepts them. The default is to refuse.
[policy]
accept_permits = {permits:?}
# It knows the others to be independent of it: each of them is feared, but no two together.
independent = {others:?}
"#
                ),
            )?;
        }
        let profile = |folder: &str, query_key: &str| {
            format!(
                r#"coordinator = "{address}"
ca_certificate = "pki/ca/ca.crt"
epsilon = "1"

[keys]
tls_key = "pki/{folder}/tls.key"
tls_certificate = "pki/{folder}/tls.crt"
{query_key}
[pins]
bundle_sha256 = "{pin}"
"#
            )
        };
        let agency = format!("agencies/{AGENCY}/{USER}");
        std::fs::write(self.agency_profile(), profile(&agency, &format!("query_key = \"pki/{agency}/query.key\"\n")))?;
        std::fs::write(self.officer_profile(), profile(&format!("officers/{}", OFFICERS[0]), ""))?;
        Ok(())
    }

    /// Starts coordinator and agents, publishes what is signed, and waits until every agent has read it all.
    pub(crate) fn start(&self, steps: &mut Steps) -> anyhow::Result<Running> {
        steps.begin("start", &format!("starting the coordinator and {} agents, each a process of its own", self.holders.len()));
        let state = self.root.join("coordinator/state");
        let address_file = state.join("address");
        if address_file.exists() {
            std::fs::remove_file(&address_file)?;
        }
        let config = text(&self.root.join("coordinator/coordinator.toml"));
        let mut coordinator =
            self.programs.start("commun-coordinator", ["run", "--config", &config], &self.root.join("coordinator/coordinator.log"))?;
        let deadline = Instant::now() + READY_TIMEOUT;
        while !address_file.exists() {
            coordinator.ensure_running()?;
            ensure!(Instant::now() < deadline, "the coordinator does not listen after {READY_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.address(std::fs::read_to_string(&address_file)?.trim())?;
        let mut agents = Vec::new();
        for holder in &self.holders {
            let folder = self.holder_folder(holder);
            agents.push(self.programs.start(
                "commun-agent",
                ["run", "--config", &text(&folder.join("agent.toml"))],
                &folder.join("agent.log"),
            )?);
        }
        let mut running = Running { agents, coordinator };
        for (kind, name) in DATASETS.iter().flat_map(|dataset| [("contract", dataset.name), ("permit", dataset.permit_name)]) {
            let document = self.root.join(format!("{name}.signed"));
            self.run("commun", &["--config", &text(&self.officer_profile()), kind, "publish", &text(&document)])?;
        }
        self.wait_for_agents(&mut running)?;
        Ok(running)
    }

    fn wait_for_agents(&self, running: &mut Running) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            running.ensure()?;
            let profile = Profile::load(Some(&self.officer_profile()))?;
            let status = runtime.block_on(async { Client::connect(&profile).await?.status().await })?;
            let ready = status.holders.iter().filter(|holder| holder.connected && holder.log_read_to == status.log_size).count();
            if ready == self.holders.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("only {ready} of {} agents are connected and up to date after {READY_TIMEOUT:?}", self.holders.len());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A path as text for arguments and messages.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
