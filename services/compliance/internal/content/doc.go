// Package content finds personal and secret data in the text of a message: Aadhaar and its virtual id, PAN, cards, bank
// accounts with IFSC, UPI addresses, GSTIN, passports, voter ids, OTP, CVV, PIN and password phrases, e-mail addresses,
// phone numbers, and links that carry any of it.
//
// A Scanner reads a text once. It cuts it into words, digit runs and separators; a word is looked up in one table of
// context words, a digit run is judged by its length, its check digits and the nearest context word before it, '@' and
// '://' are judged where they stand. What is kept between tokens has a fixed size, so each byte costs a bounded number of
// steps whatever the text is, and nothing is allocated. Digits of the Indian scripts, full-width forms and zero-width
// characters are folded first, with a map back to the offsets of the text as given.
//
// A Finding tells type, place and whether it is certain, never the value. One in ten random numbers passes a check
// digit, a UPI reference as well as any other, so a check digit alone is never certain: a context word, a card's issuer
// range or a phrase has to stand with it. Numbers behind words such as "ref", "UTR" or "order" are references.
//
// Judge is pure: findings and a tenant's policy in, allow, warn or block out. Only a certain finding blocks.
package content
