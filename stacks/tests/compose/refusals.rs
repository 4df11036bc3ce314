//! What cannot be done is refused with what to do, and nothing is started or removed.

use super::machine::{Machine, engine_with};

#[test]
fn a_missing_docker_is_reported_with_what_to_install() {
    let machine = Machine::without_docker();
    let expected = "Docker is not installed: install Docker Engine with its Compose plugin";
    machine.refuses(&["up", "--stack", "classic"], expected);
    machine.refuses(&["down", "--stack", "classic"], expected);
    machine.refuses(&["doctor"], expected);
    let (code, output) = machine.stacks(&["down"]);
    assert!(code == Some(0) && output.contains("nothing is running"), "{output}");
}

#[test]
fn a_dead_engine_or_an_old_compose_is_reported_with_a_remedy() {
    let up = ["up", "--stack", "elk"];
    let dead = "info*) echo '{\"ServerErrors\":[\"Cannot connect to the Docker daemon\"]}';;";
    Machine::with_docker(dead).refuses(&up, "start it: `sudo systemctl start docker`, or Docker Desktop");
    let forbidden = "info*) echo 'permission denied while trying to connect' >&2; exit 1;;";
    Machine::with_docker(forbidden).refuses(&up, "add yourself to the group docker");
    let old = engine_with("nothing").replace("2.26.1", "2.17.2");
    Machine::with_docker(&old)
        .refuses(&up, "Docker Compose 2.17.2 is too old: the stacks need 2.26 or newer");
    let missing = engine_with("nothing").replace("echo 2.26.1", "exit 1");
    Machine::with_docker(&missing).refuses(&up, "Docker Compose is not installed: install");
}

#[test]
fn a_clash_of_stacks_is_refused_with_the_command_that_helps() {
    let classic = Machine::with_docker(&engine_with("jaeger"));
    classic.refuses(&["up", "--stack", "lgtm"], "`make down-classic` stops it, and its data stays");
    classic.refuses(&["up"], "Classic runs and uses the same ports; `make down-classic` stops it");
    classic.refuses(&["down", "--stack", "elk"], "ELK does not run");
    let (_, output) = classic.stacks(&["doctor", "--stack", "lgtm"]);
    assert!(output.contains("taken by Classic: `make down-classic` makes room"), "{output}");
    let lgtm = Machine::with_docker(&engine_with("tempo"));
    lgtm.refuses(&["up", "--stack", "classic"], "`make down-lgtm` stops it, and its data stays");
}

#[test]
fn containers_of_another_checkout_are_not_removed() {
    let engine = engine_with("jaeger");
    let container = r#""Labels":"com.docker.compose.project.working_dir=/another/checkout","#;
    let machine =
        Machine::with_docker(&engine.replace(r#"{"Service""#, &format!(r#"{{{container}"Service""#)));
    machine.refuses(&["down"], "it runs from /another/checkout");
    machine.refuses(&["down", "--volumes"], "it runs from /another/checkout");
}

#[test]
fn an_engine_that_cannot_run_the_stacks_is_named_with_the_remedy() {
    let engine = engine_with("nothing");
    let old =
        engine.replace("28.2.2", "20.10.8").replace("'buildx version') ;;", "'buildx version') exit 1;;");
    let labelled =
        old.replace(r#""MemoryLimit":true"#, r#""MemoryLimit":true,"SecurityOptions":["name=selinux"]"#);
    let (code, output) = Machine::with_docker(&labelled).stacks(&["doctor", "--stack", "classic"]);
    assert_eq!(code, Some(1), "{output}");
    for remedy in ["update it to 20.10.10", "install docker-buildx-plugin", "chcon -R -t container_file_t"] {
        assert!(output.contains(remedy), "{remedy} is missing in\n{output}");
    }
}
