//! A Kafka node with TLS, SCRAM and an authorizer, for one test. Whoever comes in plain text is its
//! administrator.

use std::path::PathBuf;
use std::time::Duration;

use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, CreateTopicsRequest, DeleteAclsRequest,
    DescribeAclsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use tempfile::TempDir;

use crate::harness::kafka;
use crate::harness::process::{self, Process};
use crate::harness::wire::Client;

const USER: &str = "User:eve";
const JVM: &str = "-Xmx400m -Dkafka.log.level=info";

/// Something that a user may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Right {
    resource: i8,
    name: &'static str,
    pattern: i8,
    operation: i8,
}

/// `org.apache.kafka.common.acl.AclOperation`.
const fn operation(name: &str) -> i8 {
    match name.as_bytes() {
        b"Read" => 3,
        b"Write" => 4,
        b"Create" => 5,
        b"Delete" => 6,
        b"Describe" => 8,
        b"DescribeConfigs" => 10,
        _ => panic!("no such operation"),
    }
}

impl Right {
    /// On all topics that begin so.
    pub(super) const fn topics(name: &'static str, what: &str) -> Self {
        Self { resource: 2, name, pattern: 4, operation: operation(what) }
    }

    pub(super) const fn cluster(what: &str) -> Self {
        Self { resource: 4, name: "kafka-cluster", pattern: 3, operation: operation(what) }
    }

    pub(super) const fn group(name: &'static str, what: &str) -> Self {
        Self { resource: 3, name, pattern: 3, operation: operation(what) }
    }

    pub(super) const fn transactional_id(name: &'static str, what: &str) -> Self {
        Self { resource: 5, name, pattern: 3, operation: operation(what) }
    }
}

/// The node. Killed when it is dropped.
pub(super) struct Node {
    folder: TempDir,
    ports: [u16; 3],
    _process: Process,
}

impl Node {
    /// None, said aloud, if the caller chose to go without Kafka.
    pub(super) fn start() -> Option<Self> {
        if !kafka::is_wanted() {
            return None;
        }
        let folder = TempDir::with_prefix("sluice-secured-").unwrap();
        let ports = [process::free_port(), process::free_port(), process::free_port()];
        let [plain, secured, controller] = ports;
        certificates(&folder);
        let home = folder.path().display();
        let module = "org.apache.kafka.common.security";
        let addresses = format!("PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secured}");
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners={addresses},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={addresses}\n\
             inter.broker.listener.name=PLAINTEXT\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL\n\
             log.dirs={home}/data\noffsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\nauto.create.topics.enable=false\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\nsasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN\n\
             ssl.keystore.type=PEM\nssl.keystore.location={home}/broker.pem\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_eve=\"s3cret\";\n"
        );
        let users = ["SCRAM-SHA-512", "SCRAM-SHA-256"]
            .map(|mechanism| format!("{mechanism}=[name=eve,password=s3cret]"));
        let users: Vec<String> =
            users.into_iter().flat_map(|user| ["--add-scram".to_owned(), user]).collect();
        kafka::format(folder.path(), &properties, JVM, &users);
        let process = kafka::launch("a secured Kafka", folder.path(), JVM);
        let new = Self { folder, ports, _process: process };
        kafka::until_it_answers(&new.plaintext());
        Some(new)
    }

    pub(super) fn plaintext(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    pub(super) fn sasl_ssl(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// The certificate of the authority that the node's is of.
    pub(super) fn authority(&self) -> String {
        let path: PathBuf = self.folder.path().join("authority.pem");
        path.display().to_string()
    }

    pub(super) async fn allow(&self, right: &Right) {
        let acl = AclCreation::default()
            .with_resource_type(right.resource)
            .with_resource_name(StrBytes::from_static_str(right.name))
            .with_resource_pattern_type(right.pattern)
            .with_principal(StrBytes::from_static_str(USER))
            .with_host(StrBytes::from_static_str("*"))
            .with_operation(right.operation)
            .with_permission_type(3);
        let request = CreateAclsRequest::default().with_creations(vec![acl]);
        let answer = Client::connect(&self.plaintext()).await.ask(3, &request).await;
        assert_eq!(answer.results[0].error_code, 0, "{:?}", answer.results[0]);
        self.until_known(right, 1).await;
    }

    /// Waits until the broker goes by it: what was answered is what the controller knows.
    async fn until_known(&self, right: &Right, count: usize) {
        let filter = DescribeAclsRequest::default()
            .with_resource_type_filter(right.resource)
            .with_resource_name_filter(Some(StrBytes::from_static_str(right.name)))
            .with_pattern_type_filter(right.pattern)
            .with_principal_filter(Some(StrBytes::from_static_str(USER)))
            .with_host_filter(None)
            .with_operation(right.operation)
            .with_permission_type(3);
        let mut client = Client::connect(&self.plaintext()).await;
        for _ in 0..200 {
            let answer = client.ask(3, &filter).await;
            let known: usize = answer.resources.iter().map(|one| one.acls.len()).sum();
            if known == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the broker does not learn of an ACL");
    }

    pub(super) async fn deny(&self, right: &Right) {
        let filter = DeleteAclsFilter::default()
            .with_resource_type_filter(right.resource)
            .with_resource_name_filter(Some(StrBytes::from_static_str(right.name)))
            .with_pattern_type_filter(right.pattern)
            .with_principal_filter(Some(StrBytes::from_static_str(USER)))
            .with_host_filter(None)
            .with_operation(right.operation)
            .with_permission_type(3);
        let request = DeleteAclsRequest::default().with_filters(vec![filter]);
        let answer = Client::connect(&self.plaintext()).await.ask(3, &request).await;
        assert_eq!(answer.filter_results[0].matching_acls.len(), 1, "{answer:?}");
        self.until_known(right, 0).await;
    }

    /// Gives the user another password.
    pub(super) async fn set_password(&self, password: &str) {
        const ROUNDS: i32 = 4096;
        let salt = b"salt of a test";
        let mut salted = vec![0; 64];
        let digest = MessageDigest::sha512();
        let rounds = ROUNDS.try_into().unwrap();
        openssl::pkcs5::pbkdf2_hmac(password.as_bytes(), salt, rounds, digest, &mut salted)
            .unwrap();
        let user = ScramCredentialUpsertion::default()
            .with_name(StrBytes::from_static_str("eve"))
            .with_mechanism(2)
            .with_iterations(ROUNDS)
            .with_salt(salt.to_vec().into())
            .with_salted_password(salted.into());
        let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![user]);
        let answer = Client::connect(&self.plaintext()).await.ask(0, &request).await;
        assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
    }

    pub(super) async fn make(&self, name: &str, settings: &[(&str, &str)]) {
        let configs = settings.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let topic = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request =
            CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let answer = Client::connect(&self.plaintext()).await.ask(5, &request).await;
        assert_eq!(answer.topics[0].error_code, 0, "{:?}", answer.topics[0]);
    }
}

/// An authority, and what it has signed for the node.
fn certificates(folder: &TempDir) {
    let (authority, key) = certificate("authority", None);
    let (broker, broker_key) = certificate("broker", Some((&authority, &key)));
    std::fs::write(folder.path().join("authority.pem"), authority.to_pem().unwrap()).unwrap();
    let mut pem = broker_key.private_key_to_pem_pkcs8().unwrap();
    pem.extend(broker.to_pem().unwrap());
    std::fs::write(folder.path().join("broker.pem"), pem).unwrap();
}

/// The certificate of an authority that has signed nothing here.
pub(super) fn unknown_authority() -> Vec<u8> {
    certificate("another", None).0.to_pem().unwrap()
}

fn certificate(name: &str, by: Option<(&X509, &PKey<Private>)>) -> (X509, PKey<Private>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut made = X509::builder().unwrap();
    made.set_version(2).unwrap();
    made.set_subject_name(&subject).unwrap();
    made.set_issuer_name(by.map_or(&subject, |(authority, _)| authority.subject_name())).unwrap();
    made.set_pubkey(&key).unwrap();
    made.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    made.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    if by.is_none() {
        made.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let mut names = SubjectAlternativeName::new();
        let names = names.ip("127.0.0.1").build(&made.x509v3_context(None, None)).unwrap();
        made.append_extension(names).unwrap();
    }
    made.sign(by.map_or(&key, |(_, key)| key), MessageDigest::sha256()).unwrap();
    (made.build(), key)
}
