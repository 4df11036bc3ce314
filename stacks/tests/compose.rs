//! The Compose files of the Docker stacks, and the commands around them, with a script in place of Docker.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use stacks::{
    address,
    compose::{
        check,
        plan::{self, Plan},
        variables::Variables,
    },
    process::Process,
    stack::Stack,
};
use tempfile::TempDir;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

fn root() -> PathBuf {
    plan::root(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

#[test]
fn every_compose_file_keeps_to_the_rules() {
    let problems = check::check(&root()).unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_setting_moves_every_port_of_every_stack() {
    for stack in Stack::docker() {
        let usual = Plan::new(&root(), &[stack].into(), &plan::placeholders()).unwrap();
        let ports = usual.published().unwrap();
        let mut settings = plan::placeholders();
        for (number, (port, _)) in ports.iter().enumerate() {
            settings.insert(port.setting.clone(), format!("127.0.0.1:{}", 20_000 + number));
        }
        let moved = Plan::new(&root(), &[stack].into(), &settings).unwrap();
        let hosts: BTreeSet<u16> =
            moved.published().unwrap().iter().map(|(port, _)| port.host.port()).collect();
        assert_eq!(hosts, (20_000..).take(ports.len()).collect(), "{stack}");
    }
}

#[test]
fn service_containers_get_every_setting_that_is_not_fixed() {
    let plan = Plan::new(&root(), &[Stack::Classic].into(), &plan::placeholders()).unwrap();
    // Fixed in a container: directories, shutdown and secrets in a file, and what a user has no reason to change.
    let fixed = [
        "AMQP_URL",
        "ALERTS_TOKEN",
        "LOG_DIR",
        "LOG_FILES",
        "LOG_FILE_BYTES",
        "LOG_STDOUT",
        "MAILER_DATABASE_URL",
        "MAILER_TOKEN",
        "MAIL_DIR",
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_EXPORTER",
        "PAYMENT_DATABASE_URL",
        "PAYMENT_TOKEN",
        "SHUTDOWN_DEADLINE",
        "TELEMETRY_SPOOL_DIR",
    ];
    let binaries = Path::new(env!("CARGO_BIN_EXE_stacks")).parent().unwrap();
    for service in ["gateway", "payment", "mailer"] {
        let help = Command::new(binaries.join(service)).arg("--help").output();
        let help = help.unwrap_or_else(|error| panic!("{service}: {error}; run `make test`"));
        let help = String::from_utf8(help.stdout).unwrap();
        let settings = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
        let given = &plan.project.services[service].environment;
        let missing: Vec<&str> =
            settings.filter(|name| !given.contains_key(*name) && !fixed.contains(name)).collect();
        assert!(missing.is_empty(), "{service} does not get {missing:?}");
    }
}

/// A checkout with a search path of its own, where `docker` is a script or missing.
struct Machine(TempDir);

impl Machine {
    fn without_docker() -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(root().join("stacks"), dir.path().join("stacks")).unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        Self(dir)
    }

    /// `cases` are the branches of a shell's `case` on the arguments of `docker`; any other call fails and is recorded.
    fn with_docker(cases: &str) -> Self {
        let machine = Self::without_docker();
        let docker = machine.0.path().join("bin/docker");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n{cases}\n*) echo \"$*\" >>{}; exit 1;; esac\n",
            machine.other_calls().display()
        );
        fs::write(&docker, script).unwrap();
        fs::set_permissions(docker, fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn other_calls(&self) -> PathBuf {
        self.0.path().join("calls")
    }

    /// The exit code of a command, and its output.
    fn stacks(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.stacks_with(arguments, &Variables::new())
    }

    fn stacks_with(&self, arguments: &[&str], settings: &Variables) -> (Option<i32>, String) {
        let mut stacks = Command::new(env!("CARGO_BIN_EXE_stacks"));
        stacks.args(arguments).current_dir(self.0.path()).env_clear().envs(settings);
        stacks.env("PATH", self.0.path().join("bin"));
        // Only the test of the console ends the console that it starts.
        if !settings.contains_key("CONSOLE_LISTEN") {
            stacks.env("CONSOLE", "off");
        }
        let ended = stacks.output().unwrap();
        (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
    }

    /// Checks that a command is refused with this message and starts nothing.
    fn refuses(&self, arguments: &[&str], expected: &str) {
        let (code, output) = self.stacks(arguments);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(expected), "{output}");
        let calls = fs::read_to_string(self.other_calls()).unwrap_or_default();
        assert!(calls.is_empty(), "docker was called: {calls}");
        for made in [".env", "var/secrets"] {
            assert!(!self.0.path().join(made).exists(), "{made} was written");
        }
    }
}

/// The answers of an engine that runs this service.
fn engine_with(service: &str) -> String {
    let info =
        r#"{"ServerVersion":"28.2.2","OperatingSystem":"Debian","MemTotal":17179869184,"DockerRootDir":"/",
        "SystemTime":"NOW","MemoryLimit":true}"#
            .replace("NOW", &OffsetDateTime::now_utc().format(&Rfc3339).unwrap());
    let container = format!(r#"{{"Service":"{service}","State":"running"}}"#);
    format!(
        "--version) ;;\ninfo*) echo '{info}';;\n'buildx version') ;;\n'compose version'*) echo 2.26.1;;\n*' ps '*) echo '{container}';;"
    )
}

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

#[test]
fn loki_and_jaeger_are_configured_for_their_next_versions() {
    let read = |file: &str| fs::read_to_string(root().join("stacks").join(file)).unwrap();
    let loki: serde_json::Value = serde_saphyr::from_str(&read("loki/loki.yaml")).unwrap();
    assert_eq!(loki["storage_config"]["use_thanos_objstore"], true);
    assert_eq!(loki["common"]["storage"]["object_store"]["filesystem"]["dir"], "/loki/chunks");
    for file in ["jaeger/jaeger.yaml", "prometheus/scrape/classic.yaml"] {
        assert!(!read(file).contains("spanmetrics"), "{file} has the deprecated alias of span_metrics");
    }
}

#[test]
fn retention_and_memory_of_each_backend_are_settings_with_a_default() {
    let plan = |settings: &[(&str, &str)]| {
        let mut known = plan::placeholders();
        known.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        [Stack::Classic, Stack::Lgtm, Stack::Elk]
            .map(|stack| Plan::new(&root(), &[stack].into(), &known).unwrap())
    };
    let retention = |stacks: &[Plan; 3]| {
        let [classic, lgtm, elk] = stacks;
        let of = |plan: &Plan, service: &str, name: &str| {
            plan.project.services[service].environment[name].as_str().unwrap().to_owned()
        };
        let prometheus = classic.project.services["prometheus"].command.iter();
        vec![
            prometheus.filter_map(|flag| flag.strip_prefix("--storage.tsdb.retention.time=")).collect(),
            of(classic, "loki", "LOKI_RETENTION"),
            of(classic, "jaeger", "JAEGER_RETENTION"),
            of(lgtm, "tempo", "TEMPO_RETENTION"),
            of(lgtm, "mimir", "MIMIR_RETENTION"),
            of(elk, "elastic-setup", "ELASTIC_RETENTION"),
        ]
    };
    assert_eq!(retention(&plan(&[])), ["15d", "168h", "168h", "168h", "168h", "7d"]);
    let names =
        ["PROMETHEUS", "LOKI", "JAEGER", "TEMPO", "MIMIR", "ELASTIC"].map(|name| format!("{name}_RETENTION"));
    let changed: Vec<_> = names.iter().map(|name| (name.as_str(), "48h")).collect();
    assert_eq!(retention(&plan(&changed)), ["48h"; 6]);

    for plan in plan(&[]) {
        for (name, service) in &plan.project.services {
            let setting = format!("{}_MEMORY", name.to_uppercase().replace('-', "_"));
            if ["gateway", "payment", "mailer", "rabbitmq", "mailpit", "elastic-setup", "kibana-setup"]
                .contains(&&**name)
            {
                continue;
            }
            let mut settings = plan::placeholders();
            settings.insert(setting.clone(), "2g".into());
            let changed = Plan::new(&root(), &plan.stacks, &settings).unwrap();
            assert_ne!(service.mem_limit.as_deref(), Some("2g"), "{name}");
            assert_eq!(changed.project.services[name].mem_limit.as_deref(), Some("2g"), "{setting}");
        }
    }
}

#[test]
fn loki_takes_a_backlog_of_the_longest_spool_and_finds_it() {
    let file = fs::read_to_string(root().join("stacks/loki/loki.yaml")).unwrap();
    let loki: serde_json::Value = serde_saphyr::from_str(&file).unwrap();
    let hours =
        |value: &serde_json::Value| value.as_str().unwrap().trim_end_matches('h').parse::<u32>().unwrap();
    let age = hours(&loki["ingester"]["max_chunk_age"]);
    // Lines within half of it are taken, and the default of TELEMETRY_SPOOL_AGE is 24h.
    assert!(age >= 2 * 24, "{age} h");
    assert!(hours(&loki["querier"]["query_ingesters_within"]) > age);
}

#[test]
fn tempo_makes_no_histogram_of_the_time_in_the_queue() {
    // Its producer's span ends after the consumer's has begun: Tempo warns, and counts nothing.
    let file = fs::read_to_string(root().join("stacks/tempo/tempo.yaml")).unwrap();
    let tempo: serde_json::Value = serde_saphyr::from_str(&file).unwrap();
    let graphs = &tempo["metrics_generator"]["processor"]["service_graphs"];
    assert_eq!(graphs["enable_messaging_system_latency_histogram"], false);
}

fn free() -> String {
    address::free().unwrap().to_string()
}
