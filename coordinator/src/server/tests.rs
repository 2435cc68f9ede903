//! The whole daemon over real mutual TLS on loopback: doors, roles, and the link's order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::path::{Path, PathBuf};

use commun_domain::log::LogEntry;
use commun_domain::{Document, WireCode};
use commun_identity::{ClientTls, channel};
use commun_proto::status::from_status;
use commun_proto::v1;
use commun_proto::v1::agency_client::AgencyClient;
use commun_proto::v1::agent_link_client::AgentLinkClient;
use commun_proto::v1::agent_message::Message as In;
use commun_proto::v1::coordinator_message::Message as Out;
use commun_proto::v1::supervision_client::SupervisionClient;
use commun_service::{exit, run_until};
use commun_tlog::Checkpoint;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::*;
use crate::config;
use crate::pki_cmd::tests::{federation, pin};

/// A federation's files and its coordinator's configuration.
fn prepare(folder: &Path) -> PathBuf {
    federation(&folder.join("pki"));
    let sample = std::fs::read_to_string("../deploy/config/coordinator.toml").unwrap();
    let text = sample
        .replace("0.0.0.0:7443", "127.0.0.1:0")
        .replace("commun.example", "commun.test")
        .replace(&"0".repeat(64), &pin(&folder.join("pki"), "bundle_sha256"));
    let path = folder.join("coordinator.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs the coordinator while `client` works, then shuts it down.
async fn with_coordinator<T, F: Future<Output = T>>(config: &Path, client: impl FnOnce(String) -> F) -> T {
    let setup = config::load(config).unwrap();
    let address_file = setup.state_dir.join(ADDRESS_FILE);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stopped = Some(stopped);
    let service = run_until(
        "test",
        async move || match stopped.take() {
            Some(stopped) => {
                // Also when the client's part panicked and let the sender go.
                let _ = stopped.await;
                "the test is over"
            }
            None => std::future::pending().await,
        },
        Duration::from_secs(20),
        |shutdown| serve(setup, Faults::none(), shutdown),
    );
    let work = async {
        while !address_file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let result = client(std::fs::read_to_string(&address_file).unwrap()).await;
        drop(stop);
        result
    };
    let mut service = std::pin::pin!(service);
    let result = tokio::select! {
        code = &mut service => panic!("the coordinator ended by itself with code {code}"),
        result = work => result,
    };
    assert_eq!(service.await, exit::DONE);
    std::fs::remove_file(address_file).unwrap();
    result
}

async fn connect(folder: &Path, party: &str, address: &str) -> Channel {
    let read = |name: &str| std::fs::read_to_string(folder.join("pki").join(name)).unwrap();
    let tls = ClientTls::new(&read(&format!("{party}/tls.crt")), &read(&format!("{party}/tls.key")), &read("ca/ca.crt")).unwrap();
    channel(address, &tls).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_reaches_its_own_calls_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path());
    let folder = folder.path();
    with_coordinator(&config, async |address| {
        let agency = connect(folder, "agencies/statbel/analyst", &address).await;
        let catalog = AgencyClient::new(agency.clone()).catalog(v1::CatalogRequest {}).await.unwrap().into_inner();
        let kinds: Vec<&str> = catalog.entries.iter().map(|bytes| LogEntry::from_bytes(bytes).unwrap().kind()).collect();
        assert_eq!((kinds, catalog.numbers), (vec!["bundle", "roster"], vec![0, 1]));
        let denied = SupervisionClient::new(agency).status(v1::StatusRequest {}).await.unwrap_err();
        assert_eq!(from_status(&denied).code, WireCode::NotPermitted);
        assert!(from_status(&denied).hint.contains("officer or operator"));

        let operator = connect(folder, "operators/op", &address).await;
        let status = SupervisionClient::new(operator.clone()).status(v1::StatusRequest {}).await.unwrap().into_inner();
        assert_eq!((status.log_size, status.holders.len()), (2, 3));
        let publish = v1::PublishRequest { document: Vec::new() };
        let denied = SupervisionClient::new(operator).publish(publish.clone()).await.unwrap_err();
        assert_eq!(denied.code(), tonic::Code::PermissionDenied);

        let officer = connect(folder, "officers/officer-1", &address).await;
        let malformed = SupervisionClient::new(officer.clone()).publish(publish).await.unwrap_err();
        assert_eq!(from_status(&malformed).code, WireCode::InvalidQuery);
        let log = SupervisionClient::new(officer).log(v1::LogRequest { first: 1, limit: 10 }).await.unwrap().into_inner();
        assert!(matches!(LogEntry::from_bytes(&log.entries[0]).unwrap(), LogEntry::Roster(_)));

        let holder = connect(folder, "holders/telco-a", &address).await;
        let denied = AgencyClient::new(holder).submit(v1::SubmitRequest { query: Vec::new() }).await.unwrap_err();
        assert_eq!(from_status(&denied).code, WireCode::NotPermitted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_sent_the_log_and_a_checkpoint_and_shows_as_connected_until_it_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path());
    let setup = config::load(&config).unwrap();
    let folder = folder.path();
    with_coordinator(&config, async |address| {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let hello =
            v1::Hello { version: commun_proto::LINK_VERSION, log_size: 1, now_ms: SystemClock.now_ms(), software: "test".to_owned() };
        sender.send(v1::AgentMessage { message: Some(In::Hello(hello)), now_ms: 0 }).await.unwrap();
        let mut link = AgentLinkClient::new(connect(folder, "holders/telco-b", &address).await);
        let mut inbound = link.connect(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let Some(Out::Entries(entries)) = inbound.message().await.unwrap().unwrap().message else { panic!("no entries") };
        assert_eq!((entries.first, entries.entries.len()), (1, 1));
        let Some(Out::Checkpoint(note)) = inbound.message().await.unwrap().unwrap().message else { panic!("no checkpoint") };
        let checkpoint = Checkpoint::open(&note, "commun.test/log", &setup.log_key.verifying_key()).unwrap();
        assert_eq!(checkpoint.size, 2);

        let mut operator = SupervisionClient::new(connect(folder, "operators/op", &address).await);
        sender.send(v1::AgentMessage { message: Some(In::LogReadTo(2)), now_ms: 0 }).await.unwrap();
        let telco_b = async |operator: &mut SupervisionClient<Channel>| {
            let status = operator.status(v1::StatusRequest {}).await.unwrap().into_inner();
            status.holders.into_iter().find(|holder| holder.name == "telco-b").unwrap()
        };
        while telco_b(&mut operator).await.log_read_to != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let holder = telco_b(&mut operator).await;
        assert!(holder.connected && holder.clock_skew_ms.abs() < 5_000 && holder.software == "test");
        drop((sender, inbound, link));
        while telco_b(&mut operator).await.connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_reads_the_log_again_and_a_client_of_another_ca_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path());
    let other = tempfile::tempdir().unwrap();
    federation(&other.path().join("pki"));
    with_coordinator(&config, async |_| {}).await;
    with_coordinator(&config, async |address| {
        let operator = connect(folder.path(), "operators/op", &address).await;
        assert_eq!(SupervisionClient::new(operator).status(v1::StatusRequest {}).await.unwrap().into_inner().log_size, 2);
        let read = |folder: &Path, name: &str| std::fs::read_to_string(folder.join("pki").join(name)).unwrap();
        let (cert, key) = (read(other.path(), "operators/op/tls.crt"), read(other.path(), "operators/op/tls.key"));
        let tls = ClientTls::new(&cert, &key, &read(folder.path(), "ca/ca.crt")).unwrap();
        // A refused client learns it at its first call, or already when it connects.
        if let Ok(channel) = channel(&address, &tls).await {
            assert!(SupervisionClient::new(channel).status(v1::StatusRequest {}).await.is_err());
        }
    })
    .await;
}

#[test]
fn a_key_file_that_others_may_read_and_a_wrong_pin_are_refused_with_a_hint() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path());
    config::load(&config).unwrap();
    let key = folder.path().join("pki/coordinator/log.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = config::load(&config).err().unwrap().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut setup = config::load(&config).unwrap();
    setup.pins.bundle = commun_domain::Hash32::default();
    let error = start(setup, Arc::new(SystemClock), Faults::none()).err().unwrap();
    assert!(format!("{error:#}").contains("is pinned"), "{error:#}");
}
