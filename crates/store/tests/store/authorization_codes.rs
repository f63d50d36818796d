//! Authorization codes: each is redeemed once, and an expired one is swept.

use cloudpc_model::{AppId, Timestamp, UserId};
use cloudpc_store::AuthorizationCode;
use uuid::Uuid;

use crate::fixture::{Book, TENANT};

fn code(number: u8, expires_at: i64) -> AuthorizationCode {
    AuthorizationCode {
        tenant_id: TENANT,
        code: [number; 32],
        user_id: UserId(Uuid::from_u128(1)),
        client_id: AppId(Uuid::from_u128(2)),
        redirect_uri: "http://localhost:4711".into(),
        challenge: "challenge".into(),
        scope: "CloudPC.Read.All openid".into(),
        nonce: (number == 1).then(|| "nonce".into()),
        expires_at: Timestamp(expires_at),
    }
}

impl Book {
    fn take(&self, number: u8) -> Option<AuthorizationCode> {
        self.write(move |tx| tx.authorization_code_take(&[number; 32])).unwrap()
    }
}

#[test]
fn a_code_is_redeemed_once() {
    let book = Book::new();
    for number in [1, 2] {
        book.write(move |tx| tx.authorization_code_insert(&code(number, 9))).unwrap();
    }
    assert_eq!(book.take(1), Some(code(1, 9)));
    assert_eq!((book.take(1), book.take(3)), (None, None));
    assert_eq!(book.take(2), Some(code(2, 9)));
}

#[test]
fn an_expired_code_is_swept() {
    let book = Book::new();
    for (number, expires_at) in [(1, 5), (2, 6)] {
        book.write(move |tx| tx.authorization_code_insert(&code(number, expires_at))).unwrap();
    }
    book.write(|tx| tx.authorization_codes_sweep(Timestamp(5))).unwrap();
    assert_eq!((book.take(1), book.take(2)), (None, Some(code(2, 6))));
}
