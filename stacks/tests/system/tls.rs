//! TLS to broker, mail server, trace backend and database: used where the URL asks for it, and only with a server whose
//! certificate the authority has signed. Any other server gets no byte of content.

use std::fs;

use reqwest::Url;
use stacks::{address, local::layout::Component::Mailer, secrets, trace::ORDER};
use testkit::{rabbitmq::VirtualHost, smtp::SmtpServer, wait::eventually};

use crate::harness::{Authority, Front, Program, SETTLE, SelfSigned, System, database, serving};

const HERE: &str = "127.0.0.1";
/// `AUTH PLAIN` of ada with the password s3same.
const LOGIN: &str = "AUTH PLAIN AGFkYQBzM3NhbWU=";

/// The `AMQP_URL` of a virtual host through a front.
fn amqps(vhost: &VirtualHost, front: &Front) -> String {
    let url: Url = vhost.amqp_url().parse().unwrap();
    let password = url.password().unwrap();
    format!("amqps://{}:{password}@{}{}", url.username(), front.address, url.path())
}

async fn broker_front(vhost: &VirtualHost, authority: &Authority, name: &str) -> Front {
    let url: Url = vhost.amqp_url().parse().unwrap();
    let broker = format!("{HERE}:{}", url.port().unwrap()).parse().unwrap();
    Front::before(broker, authority.acceptor(name)).await
}

#[tokio::test]
async fn an_order_completes_over_tls() {
    let authority = Authority::new();
    let vhost = VirtualHost::create().await;
    let broker = broker_front(&vhost, &authority, HERE).await;
    let server = SmtpServer::start().await.unwrap();
    let mail = Front::before(server.address(), authority.acceptor(HERE)).await;
    // The trace backend of another system gets the spans of this one.
    let observer = System::start().await;
    let otlp = observer.stack.layout().traces.unwrap().otlp;
    let traces = Front::before(otlp, authority.acceptor(HERE)).await;
    let system = System::with(&[
        ("SSL_CERT_FILE", &authority.file()),
        ("AMQP_URL", &amqps(&vhost, &broker)),
        ("SMTP_URL", &format!("smtps://ada:s3same@{}", mail.address)),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://{}", traces.address)),
    ])
    .await;

    let order = system.place().await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    assert_eq!((server.accepted().len(), &server.logins()[..]), (1, &[LOGIN.to_owned()][..]));
    let whole: Vec<_> = ORDER.into_iter().chain([SETTLE]).collect();
    observer.trace_with(&order.trace, &whole).await;
    for front in [&broker, &mail, &traces] {
        assert!(front.accepted() > 0);
        assert_eq!(front.plain(), 0);
    }
}

#[tokio::test]
async fn starttls_comes_before_login_and_email() {
    let own = SelfSigned::server();
    let server = SmtpServer::start().await.unwrap();
    let front = Front::with_starttls(server.address(), own.acceptor.clone()).await;
    let system = System::with(&[
        ("SSL_CERT_FILE", &own.file()),
        ("SMTP_URL", &format!("smtp://ada:s3same@{}?tls=required", front.address)),
    ])
    .await;
    system.place().await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    assert_eq!((server.accepted().len(), &server.logins()[..]), (1, &[LOGIN.to_owned()][..]));
}

#[tokio::test]
async fn an_untrusted_mail_server_gets_neither_login_nor_email() {
    let (authority, unknown_authority) = (Authority::new(), Authority::new());
    let plain = SmtpServer::start().await.unwrap();
    let wrong_name = Front::with_starttls(plain.address(), authority.acceptor("mail.example.org")).await;
    let unknown = Front::before(plain.address(), unknown_authority.acceptor(HERE)).await;
    for url in [
        // An attacker has removed the offer of STARTTLS.
        format!("smtp://ada:s3same@{}?tls=required", plain.address()),
        format!("smtp://ada:s3same@{}?tls=required", wrong_name.address),
        format!("smtps://ada:s3same@{}", unknown.address),
        format!("smtps://ada:s3same@{}", plain.address()),
    ] {
        let system = System::with(&[("SSL_CERT_FILE", &authority.file()), ("SMTP_URL", &url)]).await;
        system.place().await;
        eventually("a retry of the e-mail", async || {
            let samples = system.metrics(Mailer).await;
            samples.get("emails_sent_total{outcome=\"retried\"}") > 0.0
        })
        .await;
        assert!(plain.offered().is_empty() && plain.logins().is_empty(), "{url}");
    }
    for front in [&unknown, &wrong_name] {
        assert_eq!((front.accepted(), front.plain()), (0, 0));
    }
}

#[tokio::test]
async fn an_untrusted_broker_or_trace_backend_gets_nothing() {
    let (authority, unknown_authority) = (Authority::new(), Authority::new());
    let vhost = VirtualHost::create().await;
    for (signer, name) in [(&unknown_authority, HERE), (&authority, "broker.example.org")] {
        let broker = broker_front(&vhost, signer, name).await;
        let traces = Front::before(broker.address, signer.acceptor(name)).await;
        let dir = tempfile::tempdir().unwrap();
        let listen = address::free().unwrap();
        let payment = Program::start(
            "payment",
            &[],
            dir.path(),
            &[
                ("SSL_CERT_FILE", &authority.file()),
                ("AMQP_URL", &amqps(&vhost, &broker)),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://{}", traces.address)),
                ("OTEL_BSP_SCHEDULE_DELAY", "50"),
                ("PAYMENT_LISTEN", &listen.to_string()),
                ("PAYMENT_TOKEN", "a token of this test"),
            ],
        );
        serving(listen).await;
        // Makes a span to export.
        reqwest::get(format!("http://{listen}/payments/1")).await.unwrap();
        for front in [&broker, &traces] {
            eventually("a refusal", async || front.refused() > 0).await;
            assert_eq!((front.accepted(), front.plain()), (0, 0), "{name}");
        }
        drop(payment);
    }
}

#[tokio::test]
async fn a_refused_mail_certificate_is_explained() {
    let (own, server) = (SelfSigned::authority(), SmtpServer::start().await.unwrap());
    let front = Front::before(server.address(), own.acceptor.clone()).await;
    let url = format!("smtps://{}", front.address);
    let system = System::with(&[("SSL_CERT_FILE", &own.file()), ("SMTP_URL", &url)]).await;
    system.place().await;
    let expected = [front.address.to_string(), own.file(), "of the environment".into(), "CA:FALSE".into()];
    eventually("the reason in the log", async || says(&system.log("email-service"), &expected)).await;
}

#[tokio::test]
async fn refused_certificates_of_broker_and_receiver_are_explained() {
    let (authority, unknown_authority) = (Authority::new(), Authority::new());
    let vhost = VirtualHost::create().await;
    let broker = broker_front(&vhost, &unknown_authority, HERE).await;
    let traces = Front::before(broker.address, authority.acceptor("traces.example.org")).await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), format!("SSL_CERT_FILE={}\n", authority.file())).unwrap();
    let listen = address::free().unwrap();
    let settings = [
        ("AMQP_URL", &*amqps(&vhost, &broker)),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("https://{}", traces.address)),
        ("PAYMENT_LISTEN", &*listen.to_string()),
        ("PAYMENT_TOKEN", "a token of this test"),
    ];
    let payment = Program::start("payment", &[], dir.path(), &settings);
    serving(listen).await;
    // Makes a span to export.
    reqwest::get(format!("http://{listen}/payments/1")).await.unwrap();
    let log = dir.path().join("logs/payment-service.log");
    for (address, remedy) in [(broker.address, "add its authority's"), (traces.address, "subjectAltName")] {
        let expected = [address.to_string(), authority.file(), "of .env".into(), remedy.into()];
        eventually("the reason in the log", async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            says(&text.lines().map(str::to_owned).collect::<Vec<_>>(), &expected)
        })
        .await;
    }
    drop(payment);
}

/// Ok if a line has all these words.
fn says(lines: &[String], words: &[String]) -> Result<(), String> {
    let is_there = lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
    if is_there { Ok(()) } else { Err(format!("no line has {words:?}: {lines:#?}")) }
}

#[tokio::test]
async fn a_missing_certificate_file_is_named_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("SSL_CERT_FILE", "no-such-file.pem"),
        ("AMQP_URL", "amqps://user:password@127.0.0.1:1/%2f"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("PAYMENT_LISTEN", "127.0.0.1:0"),
        ("PAYMENT_TOKEN", "a token of this test"),
    ];
    let ended = Program::start("payment", &[], dir.path(), &settings).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("AMQP_URL") && ended.stderr.contains("SSL_CERT_FILE"), "{ended:?}");
}

#[tokio::test]
async fn a_database_with_an_untrusted_certificate_is_refused() {
    let (authority, unknown_authority) = (Authority::new(), Authority::new());
    let database: Url = database().parse().unwrap();
    let server = format!("{HERE}:{}", database.port().unwrap()).parse().unwrap();
    let front = Front::with_ssl_request(server, authority.acceptor(HERE)).await;
    let mut through = database.clone();
    through.set_port(Some(front.address.port())).unwrap();
    through.set_query(Some("sslmode=verify-full"));
    let settings = |authority: &Authority| {
        [("PAYMENT_DATABASE_URL", through.to_string()), ("SSL_CERT_FILE", authority.file())]
    };
    let good = settings(&authority);
    let system = System::with(&good.each_ref().map(|(key, value)| (*key, &**value))).await;
    let order = system.place().await;
    assert_eq!(system.order(&order.id).await.text("status"), "paid");
    assert!(front.accepted() > 0);

    let accepted = front.accepted();
    let mut env = secrets::read(&system.dir().join(".env")).unwrap();
    env.extend(settings(&unknown_authority).map(|(key, value)| (key.to_owned(), value)));
    env.insert("AMQP_URL".to_owned(), system.vhost.amqp_url());
    let env: Vec<(&str, &str)> = env.iter().map(|(key, value)| (&**key, &**value)).collect();
    let refused = Program::start("payment", &[], system.dir(), &env).ended().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("cannot open the database"), "{refused:?}");
    assert!(!refused.stderr.contains(database.password().unwrap()), "{refused:?}");
    let expected = [front.address.to_string(), unknown_authority.file(), "add its authority's".into()];
    says(&[refused.stderr], &expected).unwrap();
    assert_eq!(front.accepted(), accepted);
}
