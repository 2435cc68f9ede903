//! What an agent does by itself: refuse by default, and listen on nothing; and whom anyone talks to.

use std::collections::BTreeSet;
use std::time::Duration;

use commun_domain::WireCode;
use commun_store::agent::Decision;

use crate::harness::child::{Fault, wait_for};
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes};

#[test]
fn p7_the_default_policy_refuses_every_question_and_the_journal_says_how_to_accept() {
    let mut federation = Federation::running(Setup { accepted: false, ..Setup::default() });
    let refused = federation.query("0.1", &commutes(MONTH));
    refused.refuses(2, "REFUSED_BY_HOLDER", &["telco-1", "policy does not accept permit SANDBOX-1", "contact"]);
    federation.stop();
    let journal = federation.journal(0);
    assert_eq!(journal.len(), 1);
    assert_eq!((journal[0].decision, journal[0].code), (Decision::Refused, Some(WireCode::NotPermitted)));
    let hint = format!("add \"{}\" to accept_permits", federation.permit);
    assert!(journal[0].reason.contains(&hint), "{}", journal[0].reason);
    assert!(federation.agent_spent(0).is_empty(), "a refusal is free");
    assert!(federation.coordinator_spent(0).is_empty());
}

/// Inodes of the sockets that a process has open.
fn sockets_of(pid: u32) -> BTreeSet<String> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    let inode = |link: std::path::PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    descriptors.filter_map(target).filter_map(inode).collect()
}

/// Inodes in a table of the kernel whose state is one of these (all states, if none is given).
fn sockets_in(table: &str, states: &[&str]) -> BTreeSet<String> {
    let text = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| states.is_empty() || states.contains(&row[3])).map(|row| row[9].to_owned()).collect()
}

/// `TCP_LISTEN` and `TCP_ESTABLISHED` in `/proc/net/tcp`.
const LISTEN: &str = "0A";
const ESTABLISHED: &str = "01";

#[test]
fn p11_during_a_query_an_agent_has_one_connection_and_listens_on_nothing() {
    let mut federation = Federation::running(Setup::default());
    let pause = Fault::pause("agent.reading", federation.fault_folder());
    federation.take_agent(0).stop();
    federation.start_agent(0, Some(&pause));
    federation.wait_ready();
    let (agent, coordinator) = (federation.agent(0).pid(), federation.coordinator_pid());
    std::thread::scope(|scope| {
        let query = scope.spawn(|| federation.query("0.1", &commutes(MONTH)));
        wait_for("the agent reads", Duration::from_secs(30), || pause.reached().then_some(()));
        let own = sockets_of(agent);
        for table in ["tcp", "tcp6"] {
            let listening = sockets_in(table, &[LISTEN]);
            assert!(own.is_disjoint(&listening), "the agent listens ({table})");
        }
        for table in ["udp", "udp6", "raw", "raw6"] {
            assert!(own.is_disjoint(&sockets_in(table, &[])), "the agent has a socket of {table}");
        }
        let connected: Vec<_> = own.intersection(&sockets_in("tcp", &[ESTABLISHED])).cloned().collect();
        assert_eq!(connected.len(), 1, "one connection, which it opened");
        // The same look finds the socket of who does listen, so it could have found one.
        assert!(!sockets_of(coordinator).is_disjoint(&sockets_in("tcp", &[LISTEN])));
        pause.go_on();
        query.join().unwrap().done();
    });
}

/// Ports of the established connections of a process, own and other's; an address that is not of loopback fails the test.
fn connections(pid: u32) -> Vec<(u16, u16)> {
    let own = sockets_of(pid);
    let port = |address: &str| {
        let (host, port) = address.split_once(':').unwrap();
        // 127.0.0.1, bytes in the machine's order.
        assert_eq!(u32::from_str_radix(host, 16).unwrap().to_ne_bytes(), [127, 0, 0, 1], "{address} is not loopback");
        u16::from_str_radix(port, 16).unwrap()
    };
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = text.lines().skip(1).map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let own = rows.filter(|row| row[3] == ESTABLISHED && own.contains(&row[9]));
    own.map(|row| (port(&row[1]), port(&row[2]))).collect()
}

/// Processes whose command line names this folder.
fn processes_in(folder: &str) -> Vec<(u32, String)> {
    let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let line = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok().map(|line| (pid, line.replace('\0', " ")));
    numbers.filter_map(line).filter(|(_, line)| line.contains(folder)).collect()
}

#[test]
fn p12_during_a_query_no_process_talks_to_anyone_but_the_federations_own() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let pause = Fault::pause("agent.reading", federation.fault_folder());
    federation.take_agent(0).stop();
    federation.start_agent(0, Some(&pause));
    federation.wait_ready();
    let port: u16 = federation.address().rsplit(':').next().unwrap().parse().unwrap();
    let (folder, coordinator) = (federation.path("").display().to_string(), federation.coordinator_pid());
    std::thread::scope(|scope| {
        let query = scope.spawn(|| federation.query("0.1", &commutes(MONTH)));
        wait_for("the agent reads", Duration::from_secs(30), || pause.reached().then_some(()));
        // Coordinator, two agents, and the client that waits for its answer.
        let processes = processes_in(&folder);
        assert_eq!(processes.len(), 4, "{processes:?}");
        for (pid, line) in processes {
            for table in ["udp", "udp6", "raw", "raw6"] {
                assert!(sockets_of(pid).is_disjoint(&sockets_in(table, &[])), "{line} has a socket of {table}");
            }
            assert!(sockets_of(pid).is_disjoint(&sockets_in("tcp6", &[ESTABLISHED])), "{line} is connected by tcp6");
            let connections = connections(pid);
            let to_coordinator = |(own, other): &(u16, u16)| if pid == coordinator { *own == port } else { *other == port };
            assert!(
                !connections.is_empty() && connections.iter().all(to_coordinator),
                "{line}: {connections:?}, the coordinator's is {port}"
            );
        }
        pause.go_on();
        query.join().unwrap().done();
    });
}
