use super::super::message::{Lane, Language, Notice};
use super::super::openpgp::tests::{fresh_key, opened};
use super::*;
use mail_parser::{MessageParser, MimeHeaders};
use model::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

fn message() -> Message {
    Message {
        id: "0190f1d2-0000-7000-8000-000000000001".to_owned(),
        lane: Lane::Ordinary,
        realm: "main".to_owned(),
        subscription: "sub_0190".to_owned(),
        name: "야간 점검".to_owned(),
        organisation: "한국은행".to_owned(),
        language: Language::Ko,
        made: Timestamp::from_seconds(1_795_289_160),
        events: vec![json!({
            "seq": 7, "time": "2026-11-21T10:26:00Z", "category": "phishing", "tlp": "amber",
            "observables": [{"type": "url", "value": "http://evil.example/login", "role": "attacker", "detect": true}],
        })],
        findings: Vec::new(),
        withdrawn: Vec::new(),
        left_out: 0,
        notice: None,
    }
}

fn to(address: &str) -> Recipient {
    Recipient { address: address.to_owned(), openpgp: None }
}

fn written(message: &Message, recipient: &Recipient) -> Result<Vec<u8>, SendError> {
    let from = sender("봉수 <alert@cert.example>").unwrap();
    compose(message, recipient, &from, Some("https://hub.cert.example"), &TimeZone::UTC).map(|mail| mail.bytes)
}

/// A subject with its words one blank apart, however it was folded.
fn subject(mail: &mail_parser::Message<'_>) -> String {
    mail.subject().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_mail_tells_what_it_is_and_carries_everything_as_data() {
    let bytes = written(&message(), &to("duty@bank.example")).unwrap();
    assert!(bytes.is_ascii());
    let text = String::from_utf8(bytes.clone()).unwrap();
    for line in [
        "Message-ID: <0190f1d2-0000-7000-8000-000000000001@main.cert.example>\r\n",
        "List-Id: <sub_0190.main.cert.example>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "X-Bongsu-TLP: AMBER\r\n",
        "MIME-Version: 1.0\r\n",
        "To: duty@bank.example\r\n",
        "Date: Sat, 21 Nov 2026 19:26:00 +0000\r\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    let mail = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(subject(&mail), "[TLP:AMBER] [봉수] 위협정보 1건 - 야간 점검");
    let body = mail.body_text(0).unwrap();
    assert!(body.contains("hxxp://evil[.]example/login") && !body.contains("http://evil") && body.contains("https://hub.cert.example"));
    let attached: Vec<(String, String)> =
        mail.attachments().map(|part| (part.attachment_name().unwrap().to_owned(), String::from_utf8(part.contents().to_vec()).unwrap())).collect();
    assert_eq!(attached.len(), 2);
    assert!(attached[0].0.ends_with(".csv") && attached[0].1.contains(",url,http://evil.example/login,attacker,"), "{attached:?}");
    assert!(attached[1].0.ends_with(".ndjson") && attached[1].1.starts_with("{\"event\":{") && attached[1].1.ends_with("}\n"));
}

#[test]
fn the_same_message_keeps_its_message_id_at_every_attempt() {
    let id = |bytes: &[u8]| MessageParser::default().parse(bytes).unwrap().message_id().unwrap().to_owned();
    let (one, other) = (written(&message(), &to("a@x.example")).unwrap(), written(&message(), &to("a@x.example")).unwrap());
    assert_eq!(id(&one), id(&other));
    assert_eq!(id(&one), "0190f1d2-0000-7000-8000-000000000001@main.cert.example");
}

#[test]
fn nothing_that_a_member_names_becomes_a_header() {
    for hostile in ["x\r\nBcc: eve@evil.example", "x\nBcc: eve@evil.example", "x\r\n\r\n<html>", "\u{2028}Bcc: a@b.example", &"long ".repeat(400)] {
        let mut bad = message();
        bad.name = hostile.to_owned();
        bad.organisation = hostile.to_owned();
        bad.subscription = hostile.to_owned();
        bad.realm = hostile.to_owned();
        bad.id = hostile.to_owned();
        let bytes = written(&bad, &to("duty@bank.example")).unwrap();
        let mail = MessageParser::default().parse(&bytes).unwrap();
        let names: Vec<&str> = mail.headers().iter().map(mail_parser::Header::name).collect();
        assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("bcc")), "{names:?}");
        assert_eq!(mail.attachments().count(), 2, "{hostile:?}");
        assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 998), "{hostile:?}");
    }
}

#[test]
fn addresses_are_parsed_before_a_server_sees_them() {
    assert_eq!(address("duty@bank.example").unwrap().to_string(), "duty@bank.example");
    assert_eq!(address("duty@은행.한국").unwrap().to_string(), "duty@xn--zs5b84x.xn--3e0b707e");
    for wrong in
        ["", "duty", "@bank.example", "duty@", "a b@bank.example", "a@b@c d", "a@x>\r\nRCPT TO:<b@y", "담당@bank.example", "a@10.0.0.1", "\"a\"@x.example"]
    {
        assert!(address(wrong).is_err(), "{wrong:?}");
        assert!(matches!(written(&message(), &to(wrong)), Err(SendError::Never(_))), "{wrong:?}");
    }
}

#[test]
fn an_encrypted_mail_tells_outside_nothing_but_its_marking() {
    let (secret, public) = fresh_key();
    let bytes = written(&message(), &Recipient { address: "duty@bank.example".to_owned(), openpgp: Some(public) }).unwrap();
    let mail = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(subject(&mail), "[TLP:AMBER] [봉수] 암호화된 메시지");
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains("multipart/encrypted") && text.contains("application/pgp-encrypted") && text.contains("Version: 1\r\n"), "{text}");
    assert!(!text.contains("evil.example") && !text.contains("hxxp"), "{text}");
    let armoured = &text[text.find("-----BEGIN PGP MESSAGE-----").unwrap()..text.find("-----END PGP MESSAGE-----").unwrap() + 25];
    let inside = opened(&secret, &format!("{armoured}\n"));
    let inner = MessageParser::default().parse(&inside).unwrap();
    assert_eq!(subject(&inner), "[TLP:AMBER] [봉수] 위협정보 1건 - 야간 점검");
    assert!(inner.body_text(0).unwrap().contains("hxxp://evil[.]example/login"));
    assert_eq!(inner.attachments().count(), 2);
    let useless = Recipient { address: "duty@bank.example".to_owned(), openpgp: Some("no key".to_owned()) };
    assert!(matches!(written(&message(), &useless), Err(SendError::Never(_))), "never in clear instead");
}

#[test]
fn the_hubs_own_words_have_no_attachments() {
    let notice = Notice::Confirm { code: "4711-0815".to_owned(), until: Timestamp::from_seconds(1_795_289_160) };
    let words = Message { events: Vec::new(), notice: Some(notice), ..message() };
    let bytes = written(&words, &to("duty@bank.example")).unwrap();
    let mail = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(mail.attachments().count(), 0);
    assert!(mail.body_text(0).unwrap().contains("4711-0815"));
}

#[test]
fn a_refusal_is_final_only_where_it_is_the_mails_fault() {
    for (stage, status, never) in [
        (Stage::Sender, Some(550), false),
        (Stage::Sender, Some(451), false),
        (Stage::Recipient, Some(550), true),
        (Stage::Recipient, Some(553), true),
        (Stage::Recipient, Some(451), false),
        (Stage::Recipient, Some(530), false),
        (Stage::Recipient, Some(535), false),
        (Stage::Text, Some(554), true),
        (Stage::Text, Some(452), false),
        (Stage::Text, Some(503), false),
        (Stage::Text, None, false),
    ] {
        assert_eq!(matches!(refusal(stage, status, "x"), SendError::Never(_)), never, "{stage:?} {status:?}");
    }
}

fn options(port: u16) -> MailOptions {
    MailOptions {
        host: "127.0.0.1".to_owned(),
        port,
        tls: MailTls::None,
        ca: None,
        user: None,
        password: None,
        from: "alert@cert.example".to_owned(),
        link: None,
        abuse_contacts: false,
        abuse_never: Vec::new(),
    }
}

#[test]
fn settings_that_would_send_in_clear_or_fail_later_are_refused_at_once() {
    let refused = |options: &MailOptions| match Mailer::new(options) {
        Err(HubError::Invalid { pointer, .. }) => pointer,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&MailOptions { host: "mail.example".to_owned(), ..options(25) }), "mail.tls");
    assert_eq!(refused(&MailOptions { from: "nobody".to_owned(), ..options(25) }), "mail.from");
    assert_eq!(refused(&MailOptions { host: String::new(), ..options(25) }), "mail.host");
    assert_eq!(refused(&MailOptions { user: Some("hub".to_owned()), ..options(25) }), "mail.user");
    let ca = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(refused(&MailOptions { tls: MailTls::StartTls, ca: Some(ca.path().to_owned()), ..options(25) }), "mail.ca");
    assert!(Mailer::new(&MailOptions { host: "mail.example".to_owned(), tls: MailTls::Implicit, ..options(465) }).is_ok());
    let secret = MailOptions { user: Some("hub".to_owned()), password: Some("tr0ub4dor".to_owned()), ..options(25) };
    assert!(!format!("{secret:?} {:?}", Mailer::new(&secret).unwrap()).contains("tr0ub4dor"));
}

/// A mail server that answers by a rule: command and number of the connection → reply, `None` for the usual one, an empty one to hang up.
struct Fake {
    port: u16,
    connections: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<String>>>,
}

async fn fake(rule: impl Fn(&str, usize) -> Option<&'static str> + Send + Sync + 'static) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = Fake { port: listener.local_addr().unwrap().port(), connections: Arc::default(), taken: Arc::default() };
    let (connections, taken, rule) = (Arc::clone(&fake.connections), Arc::clone(&fake.taken), Arc::new(rule));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
            let (taken, rule) = (Arc::clone(&taken), Arc::clone(&rule));
            tokio::spawn(async move { serve(stream, number, &*rule, &taken).await });
        }
    });
    fake
}

async fn serve(stream: TcpStream, number: usize, rule: &(impl Fn(&str, usize) -> Option<&'static str> + Sync), taken: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 fake\r\n").await.unwrap();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let command = line.split([' ', ':', '\r']).next().unwrap().to_ascii_uppercase();
        let usual = match command.as_str() {
            "EHLO" => "250-fake\r\n250 8BITMIME",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let mut reply = rule(&command, number).unwrap_or(usual);
        if command == "DATA" && reply.starts_with("354") {
            stream.write_all(b"354 go on\r\n").await.unwrap();
            let mut text = String::new();
            while !text.ends_with("\r\n.\r\n") {
                if stream.read_line(&mut text).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            reply = rule("TEXT", number).unwrap_or("250 taken");
            if reply.starts_with("250") {
                taken.lock().push(text);
            }
        }
        if reply.is_empty() || stream.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() || command == "QUIT" {
            return;
        }
    }
}

#[tokio::test]
async fn mails_in_a_row_share_a_connection() {
    let server = fake(|_, _| None).await;
    let mailer = Mailer::new(&options(server.port)).unwrap();
    for _ in 0..3 {
        mailer.send(&message(), &to("duty@bank.example")).await.unwrap();
    }
    assert_eq!((server.connections.load(Ordering::SeqCst), server.taken.lock().len()), (1, 3));
    assert!(server.taken.lock()[0].contains("Message-ID: <0190f1d2-"));
}

#[tokio::test]
async fn a_server_that_refuses_for_now_is_asked_again_and_one_that_refuses_for_good_is_not() {
    for (command, reply, never) in [
        ("EHLO", "554 no", false),
        ("MAIL", "550 no such sender", false),
        ("MAIL", "530 authentication required", false),
        ("RCPT", "451 later", false),
        ("RCPT", "550 no such user", true),
        ("DATA", "421 going down", false),
        ("TEXT", "552 too large", true),
        ("TEXT", "451 later", false),
        ("TEXT", "", false),
        ("RCPT", "", false),
    ] {
        let server = fake(move |asked, _| (asked == command).then_some(reply)).await;
        let mailer = Mailer::new(&options(server.port)).unwrap();
        let error = mailer.send(&message(), &to("duty@bank.example")).await.unwrap_err();
        assert_eq!(matches!(error, SendError::Never(_)), never, "{command} {reply}: {error}");
        assert!(server.taken.lock().is_empty());
    }
}

#[tokio::test]
async fn a_connection_on_which_something_failed_is_not_used_again() {
    let server = fake(|command, number| (command == "RCPT" && number == 1).then_some("451 later")).await;
    let mailer = Mailer::new(&options(server.port)).unwrap();
    assert!(mailer.send(&message(), &to("duty@bank.example")).await.is_err());
    mailer.send(&message(), &to("duty@bank.example")).await.unwrap();
    assert_eq!((server.connections.load(Ordering::SeqCst), server.taken.lock().len()), (2, 1));
}

#[tokio::test]
async fn no_server_and_no_starttls_are_tried_again_and_nothing_is_sent_in_clear() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let mailer = Mailer::new(&options(port)).unwrap();
    assert!(matches!(mailer.send(&message(), &to("duty@bank.example")).await, Err(SendError::Later(_))));
    let server = fake(|_, _| None).await;
    let mailer = Mailer::new(&MailOptions { tls: MailTls::StartTls, ..options(server.port) }).unwrap();
    let error = mailer.send(&message(), &to("duty@bank.example")).await.unwrap_err();
    assert!(matches!(&error, SendError::Later(reason) if reason.contains("STARTTLS")), "{error}");
    assert!(server.taken.lock().is_empty());
}
