"""How far each blob has been forwarded, and who is forwarding it: model, claim rules, store."""
