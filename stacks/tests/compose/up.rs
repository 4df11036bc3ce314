//! `stacks up` and `stacks down` with an engine that works, or fails half-way.

use std::fs;

use stacks::{
    compose::{
        plan::{self, Plan},
        variables::Variables,
    },
    process::Process,
    stack::Stack,
};

use super::machine::{Machine, engine_with, free, root};

/// The console that was started beside a stack. It ends with the test.
struct Console(Process);

impl Console {
    fn of(machine: &Machine) -> Self {
        let text = fs::read_to_string(machine.0.path().join("var/console.json")).unwrap();
        let remembered: serde_json::Value = serde_json::from_str(&text).unwrap();
        Self(serde_json::from_value(remembered["process"].clone()).unwrap())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.0.kill();
    }
}

#[test]
fn up_waits_for_a_container_that_is_being_replaced() {
    let mut settings = plan::placeholders();
    let plan = Plan::new(&root(), &[Stack::Classic].into(), &settings).unwrap();
    let state = |name| format!(r#"{{"Service":"{name}","State":"running","Health":"healthy"}}"#) + "\n";
    let states: String = plan.project.services.keys().map(state).collect();
    let engine = engine_with("nothing");
    let (answers, _) = engine.split_once("*' ps '").unwrap();
    let machine = Machine::with_docker(&format!(
        "{answers}*' ps '*) [ -e up ] || exit 0; [ -e called ] || {{ : >called; echo No such container >&2; exit 1; }}\n\
         while read -r line; do echo \"$line\"; done <states;;\n\
         *' pull '* | *' build' | *' down '*) ;;\n*' up --detach '*) : >up;;"
    ));
    fs::write(machine.0.path().join("states"), states).unwrap();
    settings = plan.published().unwrap().into_iter().map(|(port, _)| (port.setting, free())).collect();
    settings.insert("CONSOLE_LISTEN".to_owned(), free());

    let (code, output) = machine.stacks_with(&["up", "--stack", "classic"], &settings);
    let console = Console::of(&machine);
    assert_eq!(code, Some(0), "{output}");
    let first = output.lines().find(|line| line.contains("http://localhost:")).unwrap();
    let link = format!("http://{}/#token=", settings["CONSOLE_LISTEN"]).replace("127.0.0.1", "localhost");
    assert!(first.contains(&link), "the console's link is not the first: {output}");
    assert!(console.0.is_alive());
    assert!(machine.0.path().join("called").exists(), "the failing `ps` was not called");
    let gateway = format!("curl -X POST http://{}/create-order", settings["GATEWAY_LISTEN"]);
    assert!(output.contains(&gateway.replace("127.0.0.1", "localhost")), "{output}");
    assert!(output.contains("user admin, password GRAFANA_PASSWORD in .env"), "{output}");
    assert!(output.contains("make down-classic"), "{output}");
    let (code, output) = machine.stacks_with(&["down"], &settings);
    assert_eq!((code, console.0.is_alive()), (Some(0), false), "{output}");
}

/// What `docker` answers on a machine where nothing runs yet: `ps` shows `states` once `up` was called.
fn engine_before_up(up: &str) -> String {
    let engine = engine_with("nothing");
    let (answers, _) = engine.split_once("*' ps '").unwrap();
    format!(
        "{answers}*' ps '*) [ -e up ] || exit 0; while read -r line; do echo \"$line\"; done <states;;\n\
         logs*) echo \"words of $4\";;\nimage*) ;;\n*' build') ;;\n*' up --detach '*) : >up; {up};;"
    )
}

#[test]
fn images_that_are_present_are_not_pulled() {
    let mut settings = plan::placeholders();
    let plan = Plan::new(&root(), &[Stack::Classic].into(), &settings).unwrap();
    let state = |name| format!(r#"{{"Service":"{name}","State":"running","Health":"healthy"}}"#) + "\n";
    let machine = Machine::with_docker(&engine_before_up(":"));
    fs::write(machine.0.path().join("states"), plan.project.services.keys().map(state).collect::<String>())
        .unwrap();
    settings = plan.published().unwrap().into_iter().map(|(port, _)| (port.setting, free())).collect();
    settings.insert("LOKI_IMAGE".into(), "my/loki".into());
    let (code, said) = machine.stacks_with(&["up", "--stack", "classic"], &settings);
    assert_eq!(code, Some(0), "{said}");
    let calls = fs::read_to_string(machine.other_calls()).unwrap_or_default();
    assert!(!calls.contains("pull"), "{calls}");
}

#[test]
fn every_service_that_failed_is_named_with_its_last_words() {
    let unhealthy =
        "echo dependency failed to start: container omnitrace-rabbitmq-1 is unhealthy >&2; exit 1";
    let machine = Machine::with_docker(&engine_before_up(unhealthy));
    let states = r#"{"Service":"rabbitmq","State":"running","Health":"unhealthy"}
{"Service":"loki","State":"restarting"}
{"Service":"alertmanager","State":"created"}
"#;
    fs::write(machine.0.path().join("states"), states).unwrap();
    let plan = Plan::new(&root(), &[Stack::Classic].into(), &plan::placeholders()).unwrap();
    let mut settings: Variables =
        plan.published().unwrap().into_iter().map(|(port, _)| (port.setting, free())).collect();
    settings.insert("COMPOSE_PROJECT_NAME".into(), "shop".into());
    let (code, said) = machine.stacks_with(&["up", "--stack", "classic"], &settings);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("✗ start loki, rabbitmq"), "{said}");
    for service in ["loki", "rabbitmq"] {
        assert!(said.contains(&format!("words of shop-{service}-1")), "{said}");
    }
}

/// The answers of an engine that has a volume of each project.
fn engine_with_volumes() -> String {
    let engine = engine_with("nothing");
    let (answers, _) = engine.split_once("*' ps '").unwrap();
    format!(
        "{answers}*' ps '*) ;;\n'volume ls'*) for last; do :; done; echo \"$last\";;\n'volume rm'*) echo \"$3\" >>removed;;"
    )
}

#[test]
fn a_checkout_removes_the_volumes_of_its_own_project_alone() {
    let removed = |machine: &Machine, settings: &Variables| {
        let (code, output) = machine.stacks_with(&["down", "--volumes"], settings);
        assert_eq!(code, Some(0), "{output}");
        fs::read_to_string(machine.0.path().join("removed")).unwrap().trim().to_owned()
    };
    let [one, other] = [0, 1].map(|_| {
        let machine = Machine::with_docker(&engine_with_volumes());
        removed(&machine, &Variables::new())
    });
    let project = "label=com.docker.compose.project=omnitrace-";
    assert!(one.starts_with(project) && other.starts_with(project), "{one}, {other}");
    assert_ne!(one, other, "two checkouts have one project");
    let named = Variables::from([("COMPOSE_PROJECT_NAME".to_owned(), "shop".to_owned())]);
    let machine = Machine::with_docker(&engine_with_volumes());
    assert_eq!(removed(&machine, &named), "label=com.docker.compose.project=shop");
}
